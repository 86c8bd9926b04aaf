/* `gem-train router`: trains the token router on crops of text labelled by their domain, with the masks of
 * run time (model.md, "Training", 2). */
#include <string.h>

#include "training/gem-checkpoint.h"
#include "training/gem-corpus.h"
#include "training/gem-router-evaluation.h"
#include "training/gem-train-options.h"
#include "training/gem-train.h"

#define SHORTEST_CROP 4
#define LONGEST_CROP  128

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

/* Tokens that crops are made with. */
typedef struct {
  guint32 newline;     /* the end of a line */
  GArray *head, *tail; /* guint32: what the ask template puts before and after a text */
} SpecialTokens;

static void
special_tokens_clear(SpecialTokens *self)
{
  g_clear_pointer(&self->head, g_array_unref);
  g_clear_pointer(&self->tail, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpecialTokens, special_tokens_clear)

static gboolean
special_tokens_find(GemTokenizer *tokenizer, SpecialTokens *self, GError **error)
{
  const char *marker = strstr(GEM_PRESET_ASK_TEMPLATE, "{text}");
  g_autofree char *head =
      g_strndup(GEM_PRESET_ASK_TEMPLATE, (gsize)(marker - GEM_PRESET_ASK_TEMPLATE) + strlen("{text}"));
  g_autoptr(GArray) newline = g_array_new(FALSE, FALSE, sizeof(guint32));
  self->head = g_array_new(FALSE, FALSE, sizeof(guint32));
  self->tail = g_array_new(FALSE, FALSE, sizeof(guint32));
  if (!gem_tokenizer_encode_template(tokenizer, head, "", self->head, error) ||
      !gem_tokenizer_encode_template(tokenizer, marker, "", self->tail, error) ||
      !gem_tokenizer_encode(tokenizer, "\n", 1, newline, NULL, error)) {
    return FALSE;
  }
  self->newline = g_array_index(newline, guint32, newline->len - 1);
  return TRUE;
}

typedef struct {
  const RouterOptions *options;
  const GemCorpus *corpus;
  GemRouterNetwork *network;
  SpecialTokens special;
  Lane *lanes;
} RouterTraining;

/* Where a crop of n tokens begins: at the document's start, at a line's, or anywhere. */
static guint
crop_start(const RouterTraining *self, const GemDraw *draw, guint n, GemRandom *random)
{
  double chance = gem_random_uniform(random);
  guint start = (guint)gem_random_below(random, draw->n - n + 1);
  if (chance < 0.4) {
    return 0;
  }
  for (guint i = start; chance < 0.7 && i > 0; i--) {
    if (draw->tokens[i - 1] == self->special.newline) {
      return i;
    }
  }
  return chance < 0.7 ? 0 : start;
}

/* A crop of 4 to 128 tokens (short ones as often as long), bidirectional up to a point by chance and causal
 * after. Two of five stand in the ask template, whatever they were taken from, so that the template says
 * nothing about the domain. */
static void
append_crop(const RouterTraining *self, GemBatch *batch, const GemDraw *draw, GemRandom *random)
{
  guint longest = (guint)(4.0 * pow(LONGEST_CROP / 4.0, gem_random_uniform(random)) + 0.5);
  guint n = MIN(longest, draw->n);
  guint first = crop_start(self, draw, n, random);
  gboolean one_line = gem_random_uniform(random) < 0.4, in_template = gem_random_uniform(random) < 0.4;
  for (guint i = SHORTEST_CROP; one_line && i < n; i++) {
    n = draw->tokens[first + i] == self->special.newline ? i : n;
  }
  g_autoptr(GArray) crop = g_array_new(FALSE, FALSE, sizeof(guint32));
  if (in_template) {
    g_array_append_vals(crop, self->special.head->data, self->special.head->len);
  }
  g_array_append_vals(crop, draw->tokens + first, n);
  if (in_template) {
    g_array_append_vals(crop, self->special.tail->data, self->special.tail->len);
  }
  guint length = (guint)MIN(MIN((gsize)crop->len, LONGEST_CROP), gem_batch_room(batch));
  gsize at = batch->n;
  gem_batch_append(batch, (const guint32 *)(gpointer)crop->data, length, GEM_ROUTE_GENERAL, 1.0f);
  gint32 class = draw->domain == GEM_ROUTE_GENERAL ? GEM_ROUTER_UNIFORM : draw->domain;
  for (gsize i = at; i < batch->n; i++) {
    batch->target[i] = class;
    batch->weight[i] = 1.0f;
  }
  guint prefix = gem_random_uniform(random) < 0.5 ? length : (guint)gem_random_below(random, length + 1);
  batch->prefix[gem_batch_n_sequences(batch) - 1] = prefix;
}

static double
prepare(gpointer data, guint lane_index, guint index, guint64 step)
{
  RouterTraining *self = data;
  GemBatch *batch = self->lanes[lane_index].batch;
  GemRandom random = gem_random_seeded((guint64)self->options->training.seed,
                                       step * (guint64)self->options->training.lanes + lane_index);
  gem_batch_clear(batch);
  while (gem_batch_room(batch) >= SHORTEST_CROP) {
    GemDraw draw = gem_corpus_draw(self->corpus, &random, 512, &self->options->training.shares);
    if (draw.n >= SHORTEST_CROP) {
      append_crop(self, batch, &draw, &random);
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
  return TRUE;
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
  if (options->training.resume) {
    g_autoptr(GemGguf) file = gem_gguf_open(options->training.checkpoint, error);
    if (file == NULL || !gem_trainer_resume(trainer, file, error)) {
      return FALSE;
    }
  }
  g_auto(SpecialTokens) special = {0};
  if (!special_tokens_find(tokenizer, &special, error)) {
    return FALSE;
  }
  RouterTraining self = {.options = options,
                         .corpus = corpus,
                         .network = network,
                         .special = special,
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
      !gem_corpus_check_draw(corpus, options->training.shares.general, SHORTEST_CROP, error)) {
    return FALSE;
  }
  g_autoptr(GemRouterNetwork) network = gem_router_network_new(&preset.router, domains, LONGEST_CROP);
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
         gem_training_options_check(&self->training, LONGEST_CROP, error) &&
         (self->evaluate != NULL || gem_train_options_need("checkpoint", self->training.checkpoint, error)) &&
         gem_train_options_check("documents", self->documents, 0, G_MAXINT, error) &&
         gem_train_options_check("threshold", self->threshold, 0.0, 1.0, error);
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
  return done ? 0 : gem_train_fail("router", error);
}
