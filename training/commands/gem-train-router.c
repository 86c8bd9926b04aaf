/* `gem-train router`: trains the token router on crops of text labelled by their domain, with the masks of
 * run time (model.md, "Training", 2). */
#include "training/commands/gem-train-resume.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-router-crops.h"
#include "training/network/gem-router-evaluation.h"

typedef struct {
  GemTrainingOptions training;
  char *evaluate;
  gint documents;
  double threshold;
} RouterOptions;

static void
router_options_clear(RouterOptions *self)
{
  gem_training_options_clear(&self->training);
  g_clear_pointer(&self->evaluate, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RouterOptions, router_options_clear)

typedef struct {
  GemBatch *batch;
  GemRouterPass *pass;
} Lane;

typedef struct {
  const RouterOptions *options;
  const GemCorpus *corpus;
  GemRouterNetwork *network;
  const GemRouterCrops *crops;
  const GString *identity;
  Lane *lanes;
} RouterTraining;

static double
prepare(gpointer data, guint lane_index, guint index, guint64 step)
{
  RouterTraining *self = data;
  GemBatch *batch = self->lanes[lane_index].batch;
  GemRandom random = gem_random_seeded((guint64)self->options->training.seed,
                                       step * (guint64)self->options->training.lanes + lane_index);
  gem_batch_clear(batch);
  while (gem_batch_room(batch) >= GEM_ROUTER_SHORTEST_CROP) {
    GemDraw draw = gem_corpus_draw(self->corpus, &random, 512, &self->options->training.shares);
    if (draw.n >= GEM_ROUTER_SHORTEST_CROP) {
      gem_router_crops_append(self->crops, batch, &draw, &random);
    }
  }
  return gem_batch_total_weight(batch);
}

static void
run(gpointer data,
    guint lane_index,
    guint index,
    float scale,
    const float *values,
    float *gradients,
    GemTrainerTally *tally)
{
  RouterTraining *self = data;
  Lane *lane = &self->lanes[lane_index];
  tally->loss += gem_router_network_run(self->network, values, lane->batch, scale, lane->pass, gradients);
  tally->tokens += lane->batch->n;
}

static gboolean
save(gpointer data, GemGgufWriter *writer, GError **error)
{
  RouterTraining *self = data;
  gem_router_shape_write(&self->network->shape, (const char *const *)self->network->domains, writer);
  gem_train_identity_write(self->identity, writer);
  return TRUE;
}

/* What no tensor shows has to be the same, too. */
static gboolean
resume(const RouterOptions *options,
       const GemRouterNetwork *network,
       const GString *identity,
       GemTrainer *trainer,
       GError **error)
{
  const char *path = options->training.checkpoint;
  GemRouterShape shape;
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  if (file == NULL || !gem_trainer_resume(trainer, file, error) ||
      !gem_router_shape_read_with(file, "value:router/token_embd.weight", &shape, error)) {
    return FALSE;
  }
  const struct {
    const char *name;
    guint its, wanted;
  } counts[] = {{"heads", shape.heads, network->shape.heads},
                {"layers", shape.layers, network->shape.layers}};
  for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
    if (counts[i].its != counts[i].wanted) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has %u %s, not %u", path,
                  counts[i].its, counts[i].name, counts[i].wanted);
      return FALSE;
    }
  }
  return gem_train_identity_check(identity, file, FALSE, error);
}

static gboolean
train(const RouterOptions *options,
      const GemCorpus *corpus,
      GemTokenizer *tokenizer,
      GemRouterNetwork *network,
      GError **error)
{
  g_autoptr(GemLanes) threads = gem_lanes_new((guint)options->training.lanes);
  const GemTrainerOptions trainer_options = gem_training_options_get_trainer(&options->training, 1, "router");
  g_autoptr(GemTrainer) trainer = gem_trainer_new(network->parameters, &trainer_options, threads);
  g_autoptr(GString) identity = gem_train_identity_new(&options->training, corpus);
  if (options->training.resume && !resume(options, network, identity, trainer, error)) {
    return FALSE;
  }
  g_autoptr(GemRouterCrops) crops = gem_router_crops_new(tokenizer, GEM_PRESET_ASK_TEMPLATE, error);
  if (crops == NULL) {
    return FALSE;
  }
  RouterTraining self = {.options = options,
                         .corpus = corpus,
                         .network = network,
                         .crops = crops,
                         .identity = identity,
                         .lanes = g_new0(Lane, options->training.lanes)};
  for (gint lane = 0; lane < options->training.lanes; lane++) {
    self.lanes[lane].batch = gem_batch_new((gsize)options->training.batch_tokens);
    self.lanes[lane].pass = gem_router_pass_new(network);
  }
  GemTrainee trainee = {&self, prepare, run, NULL, save, NULL};
  gboolean done = gem_trainer_run(trainer, &trainee, error);
  for (gint lane = 0; lane < options->training.lanes; lane++) {
    gem_batch_free(self.lanes[lane].batch);
    gem_router_pass_free(self.lanes[lane].pass);
  }
  g_free(self.lanes);
  return done;
}

/* Measuring reads all licences; training only what may be trained on. */
static GemCorpus *
load_corpus(const RouterOptions *options, GemTokenizer *tokenizer, const char *const *domains, GError **error)
{
  gboolean measuring = options->evaluate != NULL;
  const GemCorpusOptions corpus_options = {.folder = options->training.data,
                                           .split = measuring ? GEM_SPLIT_HELD_OUT : GEM_SPLIT_TRAIN,
                                           .corpus = TRUE,
                                           .tasks = TRUE,
                                           .all_licences = measuring,
                                           .most_documents = measuring ? (gsize)options->documents : 0,
                                           .bare_too = !measuring,
                                           .ask_template = GEM_PRESET_ASK_TEMPLATE};
  GemCorpus *corpus = gem_corpus_load(&corpus_options, domains, tokenizer, error);
  if (corpus != NULL) {
    g_printerr("%.1f M tokens of text\n", (double)gem_corpus_n_tokens(corpus) / 1e6);
  }
  return corpus;
}

static gboolean
evaluate(const RouterOptions *options, GemTokenizer *tokenizer, GError **error)
{
  g_autoptr(GemRouterCheckpoint) router =
      gem_router_checkpoint_load(options->evaluate, GEM_ROUTER_EVALUATION_TOKENS, error);
  if (router == NULL ||
      !gem_checkpoint_check_vocabulary(tokenizer, options->training.tokenizer, router->network->shape.vocab,
                                       options->evaluate, error)) {
    return FALSE;
  }
  g_autoptr(GemCorpus) corpus =
      load_corpus(options, tokenizer, (const char *const *)router->network->domains, error);
  if (corpus == NULL) {
    return FALSE;
  }
  gem_router_evaluate(router, corpus, (float)options->threshold);
  return TRUE;
}

static gboolean
train_new(const RouterOptions *options, GemTokenizer *tokenizer, GError **error)
{
  g_auto(GemPreset) preset = {0};
  if (!gem_training_options_get_preset(&options->training, &preset, error) ||
      !gem_checkpoint_check_vocabulary(tokenizer, options->training.tokenizer, preset.router.vocab,
                                       "the router", error)) {
    return FALSE;
  }
  if (preset.router.n_domains == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: a router needs domains");
    return FALSE;
  }
  const char *const *domains = (const char *const *)preset.general.domains;
  g_autoptr(GemCorpus) corpus = load_corpus(options, tokenizer, domains, error);
  if (corpus == NULL ||
      !gem_corpus_check_draw(corpus, options->training.shares.general, GEM_ROUTER_SHORTEST_CROP, error)) {
    return FALSE;
  }
  g_autoptr(GemRouterNetwork) network =
      gem_router_network_new(&preset.router, domains, GEM_ROUTER_LONGEST_CROP);
  return train(options, corpus, tokenizer, network, error);
}

static gboolean
run_router(const RouterOptions *options, GError **error)
{
  if (!gem_training_options_select_matmul(&options->training, error)) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->training.tokenizer, error);
  if (tokenizer == NULL) {
    return FALSE;
  }
  return options->evaluate != NULL ? evaluate(options, tokenizer, error)
                                   : train_new(options, tokenizer, error);
}

static gboolean
parse(RouterOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"evaluate", 0, 0, G_OPTION_ARG_FILENAME, &self->evaluate,
       "Measure this checkpoint or router.gguf on held-out text in place of training", "FILE"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &self->documents,
       "With --evaluate: documents of each source, 0 for all", "N"},
      {"threshold", 0, 0, G_OPTION_ARG_DOUBLE, &self->threshold, "With --evaluate: tau", "P"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context =
      g_option_context_new("--data DIR --tokenizer FILE --checkpoint FILE | --evaluate FILE");
  g_option_context_set_summary(
      context, "Trains the token router on crops of text labelled by their domain, or measures it.");
  gem_training_options_add(&self->training, context);
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 0, NULL, error) &&
         gem_training_options_check(&self->training, GEM_ROUTER_LONGEST_CROP, error) &&
         gem_train_options_check("documents", self->documents, 0, G_MAXINT, error) &&
         gem_train_options_check("threshold", self->threshold, 0.0, 1.0, error) &&
         (self->evaluate != NULL ||
          (gem_train_options_need("checkpoint", self->training.checkpoint, error) &&
           gem_train_options_check_checkpoint(self->training.checkpoint, self->training.resume, error)));
}

int
gem_train_router_command(int argc, char **argv)
{
  g_auto(RouterOptions) options = {.training = {.steps = 1500,
                                                .warm_up = 100,
                                                .batch_tokens = 4096,
                                                .lanes = 2,
                                                .seed = 1,
                                                .rate = 1e-3,
                                                .decay_share = 1.0,
                                                .weight_decay = 0.05,
                                                .checkpoint_minutes = 5.0,
                                                .shares = {.general = 0.15, .task = 0.6}},
                                   .documents = 400,
                                   .threshold = 0.7};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && run_router(&options, &error);
  return done ? 0 : gem_train_fail_training("router", error, options.training.checkpoint);
}
