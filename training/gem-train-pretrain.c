/* `gem-train pretrain`: the general part, SCAR's centroids and the residuals of all domains together
 * (model.md, "Training", 1). */
#include <string.h>

#include "training/gem-centroids.h"
#include "training/gem-checkpoint.h"
#include "training/gem-corpus.h"
#include "training/gem-matmul.h"
#include "training/gem-presets.h"
#include "training/gem-router-network.h"
#include "training/gem-train.h"
#include "training/gem-trainer.h"

typedef struct {
  char *data, *tokenizer, *preset, *shape, *checkpoint, *router, *matmul;
  gint steps, warm_up, batch_tokens, sequence, accumulate, lanes;
  gint64 seed;
  double rate, decay_share, weight_decay, checkpoint_minutes, residual_dropout, general_share, task_share,
      answer_weight, routed_share;
  gboolean resume, general_only;
} PretrainOptions;

/* What one lane works with. */
typedef struct {
  GPtrArray *batches; /* of GemBatch, one per accumulation */
  GemBackbonePass *pass;
  GemRouterPass *router_pass;
  float *sums; /* of unit inputs by centroid */
  double *counts;
  GArray *window; /* guint32: one sequence being made */
} Lane;

typedef struct {
  const PretrainOptions *options;
  const GemCorpus *corpus;
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemRouterCheckpoint *router; /* NULL: routes are the documents' labels throughout */
  guint32 bos;
  guint64 routed_from; /* first step that uses the router's own routes, with centroids frozen */
  guint64 step;
  Lane *lanes;
  guint n_lanes;
} Pretraining;

static int
cluster_set_of_step(const Pretraining *self, guint64 step)
{
  guint sets = self->backbone->shape.n_cluster_sets;
  /* the first set, k = 16, is what runs by default: three steps of four */
  return sets == 0 ? -1 : (sets > 1 && step % 4 == 3 ? (int)(1 + (step / 4) % (sets - 1)) : 0);
}

static void
append_draw(Pretraining *self, Lane *lane, GemBatch *batch, const GemDraw *draw, GemRandom *random)
{
  g_array_set_size(lane->window, 0);
  guint shift = draw->at_start ? 0 : 1;
  if (shift) {
    g_array_append_val(lane->window, self->bos);
  }
  g_array_append_vals(lane->window, draw->tokens, draw->n);
  /* drawn in any case, so that the model to compare with sees the same text */
  gboolean dropped =
      gem_random_uniform(random) < self->options->residual_dropout || self->options->general_only;
  gsize first = batch->n;
  gem_batch_append(batch, (const guint32 *)(gpointer)lane->window->data, lane->window->len,
                   dropped ? GEM_ROUTE_GENERAL : draw->domain, 1.0f);
  for (gsize i = (gsize)draw->answer + shift; draw->is_task && i < lane->window->len; i++) {
    batch->weight[first + i - 1] = (float)self->options->answer_weight; /* token i - 1 predicts token i */
  }
  /* the router reads the prompt both ways and what follows causally; a document, up to a point by chance */
  gsize n_sequences = gem_batch_n_sequences(batch);
  batch->prefix[n_sequences - 1] =
      draw->is_task ? draw->answer + shift : (guint32)gem_random_below(random, lane->window->len);
}

/* Replaces labels by the router's decisions, but for documents whose residual was dropped. */
static void
route_batch(Pretraining *self, Lane *lane, GemBatch *batch)
{
  g_autofree gint8 *labels = g_memdup2(batch->route, batch->n);
  gem_router_network_run(self->router->network, self->router->values, batch, 1.0f, lane->router_pass, NULL);
  gem_router_pass_routes(self->router->network, lane->router_pass, self->backbone->shape.router_threshold,
                         batch);
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gboolean dropped = labels[start[s]] == GEM_ROUTE_GENERAL;
    for (gsize i = start[s]; dropped && i < start[s + 1]; i++) {
      batch->route[i] = GEM_ROUTE_GENERAL;
    }
  }
}

static double
prepare(gpointer data, guint lane_index, guint index, guint64 step)
{
  Pretraining *self = data;
  const PretrainOptions *options = self->options;
  Lane *lane = &self->lanes[lane_index];
  GemBatch *batch = lane->batches->pdata[index];
  guint64 stream = (step * self->n_lanes + lane_index) * (guint64)options->accumulate + index;
  GemRandom random = gem_random_seeded((guint64)options->seed, stream);
  gem_batch_clear(batch);
  while (gem_batch_room(batch) >= 16) {
    guint longest = (guint)MIN((gsize)options->sequence, gem_batch_room(batch)) - 1;
    GemDraw draw =
        gem_corpus_draw(self->corpus, &random, longest, options->general_share, options->task_share);
    append_draw(self, lane, batch, &draw, &random);
  }
  if (self->router != NULL && step >= self->routed_from) {
    route_batch(self, lane, batch);
  }
  self->step = step;
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
  Pretraining *self = data;
  Lane *lane = &self->lanes[lane_index];
  GemBatch *batch = lane->batches->pdata[index];
  GemLoss loss;
  const float *centroids = self->centroids->values;
  gem_backbone_run(self->backbone, values, centroids, cluster_set_of_step(self, self->step), batch, scale,
                   lane->pass, gradients, NULL, &loss);
  if (self->backbone->shape.n_cluster_sets > 0 && self->step < self->routed_from) {
    gem_backbone_collect_clusters(self->backbone, centroids, batch, lane->pass, lane->sums, lane->counts);
  }
  tally->loss += loss.loss;
  tally->tokens += loss.tokens;
}

static void
after_step(gpointer data, guint64 step)
{
  Pretraining *self = data;
  const GemModelShape *shape = &self->backbone->shape;
  if (shape->n_cluster_sets == 0 || step >= self->routed_from) {
    return;
  }
  gsize rows = gem_backbone_n_centroids(self->backbone);
  Lane *first = &self->lanes[0];
  for (guint lane = 1; lane < self->n_lanes; lane++) {
    Lane *other = &self->lanes[lane];
    for (gsize i = 0; i < rows * shape->width; i++) {
      first->sums[i] += other->sums[i];
    }
    for (gsize i = 0; i < rows; i++) {
      first->counts[i] += other->counts[i];
    }
    memset(other->sums, 0, rows * shape->width * sizeof(float));
    memset(other->counts, 0, rows * sizeof(double));
  }
  const GemBatch *batch = first->batches->pdata[self->options->accumulate - 1];
  gem_centroids_update(self->centroids, first->sums, first->counts, first->pass, batch->n,
                       (guint64)self->options->seed ^ step);
}

static gboolean
save(gpointer data, GemGgufWriter *writer, GError **error)
{
  Pretraining *self = data;
  gem_model_shape_write(&self->backbone->shape, writer);
  gem_gguf_writer_set_string(writer, "general.architecture", "gem");
  gem_gguf_writer_set_string(writer, "train.tokenizer", self->options->tokenizer);
  return gem_centroids_write(self->centroids, "scar:", writer, error);
}

static char *
describe(gpointer data)
{
  Pretraining *self = data;
  if (self->backbone->shape.n_cluster_sets == 0) {
    return NULL;
  }
  return g_strdup_printf("largest sum of squared cluster shares %.3f",
                         gem_centroids_worst_square_sum(self->centroids, 0));
}

static void
make_lanes(Pretraining *self)
{
  gsize rows = gem_backbone_n_centroids(self->backbone);
  self->lanes = g_new0(Lane, self->n_lanes);
  for (guint i = 0; i < self->n_lanes; i++) {
    Lane *lane = &self->lanes[i];
    lane->batches = g_ptr_array_new_with_free_func((GDestroyNotify)gem_batch_free);
    for (gint index = 0; index < self->options->accumulate; index++) {
      g_ptr_array_add(lane->batches, gem_batch_new((gsize)self->options->batch_tokens));
    }
    lane->pass = gem_backbone_pass_new(self->backbone);
    lane->router_pass = self->router != NULL ? gem_router_pass_new(self->router->network) : NULL;
    lane->sums = g_new0(float, rows * self->backbone->shape.width + 1);
    lane->counts = g_new0(double, rows + 1);
    lane->window = g_array_new(FALSE, FALSE, sizeof(guint32));
  }
}

static void
free_lanes(Pretraining *self)
{
  for (guint i = 0; i < self->n_lanes; i++) {
    Lane *lane = &self->lanes[i];
    g_ptr_array_unref(lane->batches);
    gem_backbone_pass_free(lane->pass);
    g_clear_pointer(&lane->router_pass, gem_router_pass_free);
    g_free(lane->sums);
    g_free(lane->counts);
    g_array_unref(lane->window);
  }
  g_free(self->lanes);
}

static gboolean
train(const PretrainOptions *options,
      GemCorpus *corpus,
      GemBackbone *backbone,
      GemRouterCheckpoint *router,
      guint32 bos,
      GError **error)
{
  g_autoptr(GemLanes) threads = gem_lanes_new((guint)options->lanes);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, (guint64)options->seed);
  GemTrainerOptions trainer_options = {.steps = (guint64)options->steps,
                                       .warm_up = (guint64)options->warm_up,
                                       .peak_rate = options->rate,
                                       .decay_share = options->decay_share,
                                       .weight_decay = options->weight_decay,
                                       .clip = 1.0,
                                       .accumulate = (guint)options->accumulate,
                                       .seed = (guint64)options->seed,
                                       .checkpoint = options->checkpoint,
                                       .checkpoint_seconds = 60.0 * options->checkpoint_minutes,
                                       .title = "pretrain"};
  g_autoptr(GemTrainer) trainer = gem_trainer_new(backbone->parameters, &trainer_options, threads);
  if (options->resume) {
    g_autoptr(GemGguf) file = gem_gguf_open(options->checkpoint, error);
    if (file == NULL || !gem_trainer_resume(trainer, file, error) ||
        !gem_centroids_read(centroids, "scar:", file, error)) {
      return FALSE;
    }
    g_printerr("resuming %s at step %" G_GUINT64_FORMAT "\n", options->checkpoint, gem_trainer_step(trainer));
  }
  Pretraining self = {.options = options,
                      .corpus = corpus,
                      .backbone = backbone,
                      .centroids = centroids,
                      .router = router,
                      .bos = bos,
                      .routed_from = (guint64)((double)options->steps * (1.0 - options->routed_share)),
                      .n_lanes = (guint)options->lanes};
  make_lanes(&self);
  GemTrainee trainee = {&self, prepare, run, after_step, save, describe};
  gboolean done = gem_trainer_run(trainer, &trainee, error);
  free_lanes(&self);
  return done;
}

static void
report_source(const char *source, gpointer data)
{
  g_printerr("read %s\n", source);
}

static gboolean
pretrain(const PretrainOptions *options, GError **error)
{
  g_auto(GemPreset) preset = {0};
  if (!gem_preset_get(options->preset, &preset, error) ||
      (options->shape && !gem_preset_apply_shape(&preset, options->shape, error)) ||
      (options->general_only && !gem_preset_apply_shape(&preset, "domains=0", error)) ||
      !gem_matmul_select(options->matmul, error)) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
  if (tokenizer == NULL) {
    return FALSE;
  }
  if (gem_tokenizer_n_tokens(tokenizer) != preset.general.vocab) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has %u tokens, the model %u",
                options->tokenizer, gem_tokenizer_n_tokens(tokenizer), preset.general.vocab);
    return FALSE;
  }
  g_autofree char *speed = gem_matmul_describe();
  g_printerr("%s\n", speed);
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (options->router != NULL && !options->general_only) {
    router = gem_router_checkpoint_load(options->router, (gsize)options->sequence, error);
    if (router == NULL) {
      return FALSE;
    }
  }
  GemCorpusOptions corpus_options = {.folder = options->data,
                                     .split = GEM_SPLIT_TRAIN,
                                     .corpus = TRUE,
                                     .tasks = TRUE,
                                     .ask_template = preset.general.ask_template,
                                     .progress = report_source};
  g_autoptr(GemCorpus) corpus = gem_corpus_load(&corpus_options, gem_preset_domains, tokenizer, error);
  if (corpus == NULL) {
    return FALSE;
  }
  g_printerr("%.1f M tokens of text\n", (double)gem_corpus_n_tokens(corpus) / 1e6);
  g_autoptr(GemBackbone) backbone = gem_backbone_new(&preset.general, (gsize)options->sequence);
  return train(options, corpus, backbone, router, gem_tokenizer_bos(tokenizer), error);
}

int
gem_train_pretrain_command(int argc, char **argv)
{
  PretrainOptions o = {.steps = 3600,
                       .warm_up = 100,
                       .batch_tokens = 4096,
                       .sequence = 512,
                       .accumulate = 1,
                       .lanes = 2,
                       .seed = 1,
                       .rate = 2e-3,
                       .decay_share = 0.5,
                       .weight_decay = 0.05,
                       .checkpoint_minutes = 10.0,
                       .residual_dropout = 0.2,
                       .general_share = 0.15,
                       .task_share = 0.6,
                       .answer_weight = 2.0,
                       .routed_share = 0.1};
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &o.data, "Folder with corpus/, tasks/ and manifest.json", "DIR"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &o.tokenizer, "A .gguf or SentencePiece .model file",
       "FILE"},
      {"preset", 0, 0, G_OPTION_ARG_STRING, &o.preset, "gem-mini (default), gem-80m or gem-tiny", "NAME"},
      {"shape", 0, 0, G_OPTION_ARG_STRING, &o.shape, "Changes to the preset: width=128,layers=2,...",
       "KEY=N,..."},
      {"checkpoint", 0, 0, G_OPTION_ARG_FILENAME, &o.checkpoint, "Where the state is kept", "FILE"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &o.resume, "Go on from the checkpoint", NULL},
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &o.router,
       "A router's checkpoint, for the routes of the last steps", "FILE"},
      {"general-only", 0, 0, G_OPTION_ARG_NONE, &o.general_only, "No domains: the model to compare with",
       NULL},
      {"steps", 0, 0, G_OPTION_ARG_INT, &o.steps, "Optimizer steps (3600)", "N"},
      {"warm-up", 0, 0, G_OPTION_ARG_INT, &o.warm_up, "Steps of rising rate (100)", "N"},
      {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &o.rate, "Peak learning rate (2e-3)", "R"},
      {"decay-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.decay_share,
       "Last share of the steps, in which the rate falls (0.5)", "R"},
      {"weight-decay", 0, 0, G_OPTION_ARG_DOUBLE, &o.weight_decay, "Of matrices (0.05)", "R"},
      {"batch-tokens", 0, 0, G_OPTION_ARG_INT, &o.batch_tokens, "Tokens of a batch, a lane (4096)", "N"},
      {"sequence", 0, 0, G_OPTION_ARG_INT, &o.sequence, "Longest sequence (512)", "N"},
      {"accumulate", 0, 0, G_OPTION_ARG_INT, &o.accumulate, "Batches a lane and step (1)", "N"},
      {"lanes", 0, 0, G_OPTION_ARG_INT, &o.lanes, "Threads (2); part of the state", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &o.seed, "Of weights and sampling (1)", "N"},
      {"checkpoint-minutes", 0, 0, G_OPTION_ARG_DOUBLE, &o.checkpoint_minutes, "Between two checkpoints (10)",
       "M"},
      {"residual-dropout", 0, 0, G_OPTION_ARG_DOUBLE, &o.residual_dropout,
       "Share of documents run by general alone (0.2)", "R"},
      {"general-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.general_share, "Share of draws of no domain (0.15)",
       "R"},
      {"task-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.task_share, "Share of draws that are task lines (0.6)",
       "R"},
      {"answer-weight", 0, 0, G_OPTION_ARG_DOUBLE, &o.answer_weight,
       "Weight of an answer's tokens in the loss (2)", "R"},
      {"routed-share", 0, 0, G_OPTION_ARG_DOUBLE, &o.routed_share,
       "Last share of steps, with the router's routes and fixed centroids (0.1)", "R"},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &o.matmul, "auto (default), fp32 or bf16", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GError) error = NULL;
  if (!gem_train_parse(
          &argc, &argv, entries, "--data DIR --tokenizer FILE --checkpoint FILE",
          "Trains the general part and the domain residuals together, documents routed by their label.")) {
    return 2;
  }
  if (o.data == NULL || o.tokenizer == NULL || o.checkpoint == NULL || o.steps < 1 || o.batch_tokens < 32 ||
      o.sequence < 32 || o.sequence > o.batch_tokens || o.accumulate < 1 || o.lanes < 1 || o.lanes > 64 ||
      o.warm_up < 0 || o.decay_share < 0.0 || o.decay_share > 1.0) {
    g_printerr("gem-train pretrain: --data, --tokenizer and --checkpoint are needed; 32 <= sequence <= "
               "batch-tokens; lanes 1 to 64; see --help\n");
    return 2;
  }
  o.preset = o.preset ? o.preset : g_strdup("gem-mini");
  o.matmul = o.matmul ? o.matmul : g_strdup("auto");
  gboolean done = pretrain(&o, &error);
  g_free(o.data);
  g_free(o.tokenizer);
  g_free(o.preset);
  g_free(o.shape);
  g_free(o.checkpoint);
  g_free(o.router);
  g_free(o.matmul);
  return done ? 0 : gem_train_fail("pretrain", error);
}
