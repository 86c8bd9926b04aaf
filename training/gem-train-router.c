/* `gem-train router`: trains the token router on crops of text labelled by their domain, with the masks of
 * run time (model.md, "Training", 2). */
#include <string.h>

#include "training/gem-checkpoint.h"
#include "training/gem-corpus.h"
#include "training/gem-matmul.h"
#include "training/gem-presets.h"
#include "training/gem-router-evaluation.h"
#include "training/gem-train.h"
#include "training/gem-trainer.h"

#define LONGEST_CROP 128

typedef struct {
  char *data, *tokenizer, *preset, *shape, *checkpoint, *matmul, *evaluate;
  gint steps, warm_up, batch_tokens, lanes, documents;
  gint64 seed;
  double rate, decay_share, weight_decay, checkpoint_minutes, general_share, task_share, threshold;
  gboolean resume;
} RouterOptions;

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
  for (guint i = 4; one_line && i < n; i++) {
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
  GemRandom random =
      gem_random_seeded((guint64)self->options->seed, step * (guint64)self->options->lanes + lane_index);
  gem_batch_clear(batch);
  while (gem_batch_room(batch) >= 4) {
    GemDraw draw =
        gem_corpus_draw(self->corpus, &random, 512, self->options->general_share, self->options->task_share);
    if (draw.n >= 4) {
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
  g_autoptr(GemLanes) threads = gem_lanes_new((guint)options->lanes);
  GemTrainerOptions trainer_options = {.steps = (guint64)options->steps,
                                       .warm_up = (guint64)options->warm_up,
                                       .peak_rate = options->rate,
                                       .decay_share = options->decay_share,
                                       .weight_decay = options->weight_decay,
                                       .clip = 1.0,
                                       .accumulate = 1,
                                       .seed = (guint64)options->seed,
                                       .checkpoint = options->checkpoint,
                                       .checkpoint_seconds = 60.0 * options->checkpoint_minutes,
                                       .title = "router"};
  g_autoptr(GemTrainer) trainer = gem_trainer_new(network->parameters, &trainer_options, threads);
  if (options->resume) {
    g_autoptr(GemGguf) file = gem_gguf_open(options->checkpoint, error);
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
                         .lanes = g_new0(Lane, options->lanes)};
  for (gint lane = 0; lane < options->lanes; lane++) {
    self.lanes[lane].batch = gem_batch_new((gsize)options->batch_tokens);
    self.lanes[lane].pass = gem_router_pass_new(network);
  }
  GemTrainee trainee = {&self, prepare, run, NULL, save, NULL};
  gboolean done = gem_trainer_run(trainer, &trainee, error);
  for (gint lane = 0; lane < options->lanes; lane++) {
    gem_batch_free(self.lanes[lane].batch);
    gem_router_pass_free(self.lanes[lane].pass);
  }
  g_free(self.lanes);
  return done;
}

static GemCorpus *
load_corpus(
    const RouterOptions *options, GemSplit split, gboolean corpus, GemTokenizer *tokenizer, GError **error)
{
  /* measuring reads all licences; training only what may be trained on */
  GemCorpusOptions corpus_options = {.folder = options->data,
                                     .split = split,
                                     .corpus = corpus,
                                     .tasks = TRUE,
                                     .all_licences = split == GEM_SPLIT_HELD_OUT,
                                     .most_documents =
                                         split == GEM_SPLIT_HELD_OUT ? (gsize)options->documents : 0,
                                     .bare_too = split == GEM_SPLIT_TRAIN,
                                     .ask_template = GEM_PRESET_ASK_TEMPLATE};
  return gem_corpus_load(&corpus_options, gem_preset_domains, tokenizer, error);
}

static gboolean
run_router(const RouterOptions *options, GError **error)
{
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
  if (tokenizer == NULL || !gem_matmul_select(options->matmul, error)) {
    return FALSE;
  }
  g_autofree char *speed = gem_matmul_describe();
  g_printerr("%s\n", speed);
  g_autoptr(GemCorpus) corpus =
      load_corpus(options, options->evaluate ? GEM_SPLIT_HELD_OUT : GEM_SPLIT_TRAIN, TRUE, tokenizer, error);
  if (corpus == NULL) {
    return FALSE;
  }
  g_printerr("%.1f M tokens of text\n", (double)gem_corpus_n_tokens(corpus) / 1e6);
  if (options->evaluate != NULL) {
    g_autoptr(GemRouterCheckpoint) router =
        gem_router_checkpoint_load(options->evaluate, GEM_ROUTER_EVALUATION_TOKENS, error);
    if (router == NULL) {
      return FALSE;
    }
    gem_router_evaluate(router, corpus, (float)options->threshold);
    return TRUE;
  }
  g_auto(GemPreset) preset = {0};
  if (!gem_preset_get(options->preset, &preset, error) ||
      (options->shape && !gem_preset_apply_shape(&preset, options->shape, error))) {
    return FALSE;
  }
  g_autoptr(GemRouterNetwork) network =
      gem_router_network_new(&preset.router, gem_preset_domains, LONGEST_CROP);
  return train(options, corpus, tokenizer, network, error);
}

int
gem_train_router_command(int argc, char **argv)
{
  RouterOptions o = {.steps = 1500,
                     .warm_up = 100,
                     .batch_tokens = 4096,
                     .lanes = 2,
                     .documents = 400,
                     .seed = 1,
                     .rate = 1e-3,
                     .decay_share = 1.0,
                     .weight_decay = 0.05,
                     .checkpoint_minutes = 5.0,
                     .general_share = 0.15,
                     .task_share = 0.6,
                     .threshold = 0.7};
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &o.data, "Folder with corpus/, tasks/ and manifest.json", "DIR"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &o.tokenizer, "A .gguf or SentencePiece .model file",
       "FILE"},
      {"preset", 0, 0, G_OPTION_ARG_STRING, &o.preset, "gem-mini (default), gem-80m or gem-tiny", "NAME"},
      {"shape", 0, 0, G_OPTION_ARG_STRING, &o.shape, "Changes to the preset: router-layers=2,...",
       "KEY=N,..."},
      {"checkpoint", 0, 0, G_OPTION_ARG_FILENAME, &o.checkpoint, "Where the state is kept", "FILE"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &o.resume, "Go on from the checkpoint", NULL},
      {"evaluate", 0, 0, G_OPTION_ARG_FILENAME, &o.evaluate,
       "Measure this checkpoint or router.gguf on held-out text in place of training", "FILE"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &o.documents,
       "With --evaluate: documents of each source, 0 for all (400)", "N"},
      {"threshold", 0, 0, G_OPTION_ARG_DOUBLE, &o.threshold, "With --evaluate: tau (0.7)", "P"},
      {"steps", 0, 0, G_OPTION_ARG_INT, &o.steps, "Optimizer steps (1500)", "N"},
      {"warm-up", 0, 0, G_OPTION_ARG_INT, &o.warm_up, "Steps of rising rate (100)", "N"},
      {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &o.rate, "Peak learning rate (1e-3)", "R"},
      {"decay-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.decay_share,
       "Last share of the steps, in which the rate falls (1.0)", "R"},
      {"weight-decay", 0, 0, G_OPTION_ARG_DOUBLE, &o.weight_decay, "Of matrices (0.05)", "R"},
      {"batch-tokens", 0, 0, G_OPTION_ARG_INT, &o.batch_tokens, "Tokens of a batch, a lane (4096)", "N"},
      {"lanes", 0, 0, G_OPTION_ARG_INT, &o.lanes, "Threads (2); part of the state", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &o.seed, "Of weights and sampling (1)", "N"},
      {"checkpoint-minutes", 0, 0, G_OPTION_ARG_DOUBLE, &o.checkpoint_minutes, "Between two checkpoints (5)",
       "M"},
      {"general-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.general_share, "Share of draws of no domain (0.15)",
       "R"},
      {"task-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.task_share, "Share of draws that are task lines (0.6)",
       "R"},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &o.matmul, "auto (default), fp32 or bf16", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GError) error = NULL;
  if (!gem_train_parse(
          &argc, &argv, entries, "--data DIR --tokenizer FILE --checkpoint FILE | --evaluate FILE",
          "Trains the token router on crops of text labelled by their domain, or measures it.")) {
    return 2;
  }
  if (o.data == NULL || o.tokenizer == NULL || (o.checkpoint == NULL && o.evaluate == NULL) || o.steps < 1 ||
      o.batch_tokens < LONGEST_CROP || o.lanes < 1 || o.lanes > 64 || o.warm_up < 0 || o.decay_share < 0.0 ||
      o.decay_share > 1.0 || o.documents < 0) {
    g_printerr("gem-train router: --data, --tokenizer and --checkpoint or --evaluate are needed; "
               "batch-tokens at least %d; see --help\n",
               LONGEST_CROP);
    return 2;
  }
  o.preset = o.preset ? o.preset : g_strdup("gem-mini");
  o.matmul = o.matmul ? o.matmul : g_strdup("auto");
  gboolean done = run_router(&o, &error);
  g_free(o.data);
  g_free(o.tokenizer);
  g_free(o.preset);
  g_free(o.shape);
  g_free(o.checkpoint);
  g_free(o.matmul);
  g_free(o.evaluate);
  return done ? 0 : gem_train_fail("router", error);
}
