/* `gem-train pretrain`: the general part, SCAR's centroids and the residuals of all domains together
 * (model.md, "Training", 1). */
#include <string.h>

#include "format/gem-file.h"
#include "training/commands/gem-train-resume.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-checkpoint.h"
#include "training/text/gem-corpus.h"
#include "training/text/gem-pretrain-draw.h"
#include "training/text/gem-task-choice.h"

typedef struct {
  GemTrainingOptions training;
  char *router, *from, *tasks;
  gint sequence, accumulate, rivals;
  GemPretrainDrawOptions draw;
  double dropout, routed_share;
  gboolean all_licences;
} PretrainOptions;

static void
pretrain_options_clear(PretrainOptions *self)
{
  gem_training_options_clear(&self->training);
  g_clear_pointer(&self->router, g_free);
  g_clear_pointer(&self->from, g_free);
  g_clear_pointer(&self->tasks, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PretrainOptions, pretrain_options_clear)

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
  GemPretrainDraw draw;
  const GString *identity;
  guint64 routed_from; /* first step that uses the router's own routes, with centroids frozen */
  guint64 step;        /* that runs */
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

/* All that is drawn for one batch comes from here. */
static GemRandom
batch_random(const Pretraining *self, guint lane_index, guint index, guint64 step)
{
  guint64 stream = (step * self->n_lanes + lane_index) * (guint64)self->options->accumulate + index;
  return gem_random_seeded((guint64)self->options->training.seed, stream);
}

static double
prepare(gpointer data, guint lane_index, guint index, guint64 step)
{
  Pretraining *self = data;
  const PretrainOptions *options = self->options;
  Lane *lane = &self->lanes[lane_index];
  GemBatch *batch = lane->batches->pdata[index];
  GemRandom random = batch_random(self, lane_index, index, step);
  gem_batch_clear(batch);
  while (gem_batch_room(batch) >= 16) {
    guint longest = (guint)MIN((gsize)options->sequence, gem_batch_room(batch)) - 1;
    GemDraw draw = gem_corpus_draw(self->corpus, &random, longest, &options->training.shares);
    gem_pretrain_draw_append(&self->draw, &draw, &random, lane->window, batch);
  }
  if (self->router != NULL && step >= self->routed_from) {
    route_batch(self, lane, batch);
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
  Pretraining *self = data;
  Lane *lane = &self->lanes[lane_index];
  GemBatch *batch = lane->batches->pdata[index];
  GemLoss loss;
  const float *centroids = self->centroids->values;
  GemRandom random = batch_random(self, lane_index, index, self->step);
  gem_backbone_pass_set_dropout(lane->pass, self->options->dropout, gem_random_next(&random));
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
  self->step = step + 1;
  if (shape->n_cluster_sets == 0 || step >= self->routed_from) {
    return;
  }
  Lane *first = &self->lanes[0];
  for (guint lane = 1; lane < self->n_lanes; lane++) {
    Lane *other = &self->lanes[lane];
    gem_centroids_join(self->backbone, first->sums, first->counts, other->sums, other->counts);
  }
  const GemBatch *batch = first->batches->pdata[self->options->accumulate - 1];
  gem_centroids_update(self->centroids, first->sums, first->counts, first->pass, batch->n,
                       (guint64)self->options->training.seed ^ step);
}

static gboolean
save(gpointer data, GemGgufWriter *writer, GError **error)
{
  Pretraining *self = data;
  gem_gguf_writer_set_string(writer, "train.tokenizer", self->options->training.tokenizer);
  gem_train_identity_write(self->identity, writer);
  return gem_backbone_checkpoint_describe(self->backbone, self->centroids, self->options->all_licences,
                                          writer, error);
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
      g_ptr_array_add(lane->batches, gem_batch_new((gsize)self->options->training.batch_tokens));
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

/* A run may change what a token sees, but not unnoticed. */
static void
tell_of_mask(const GemBackboneCheckpoint *start, const GemBackbone *backbone, const char *path)
{
  g_autoptr(GError) differs = NULL;
  if (!gem_checkpoint_check_mask(&start->backbone->shape, &backbone->shape, path, &differs)) {
    g_printerr("%s: this run changes that (see --shape)\n", differs->message);
  }
}

/* Start values from another model of the same shape. */
static gboolean
start_from(const PretrainOptions *options, GemTrainer *trainer, GemCentroids *centroids, GError **error)
{
  const GemBackbone *backbone = centroids->backbone;
  const char *path = options->from;
  g_autoptr(GemBackboneCheckpoint) start = gem_backbone_checkpoint_load(path, backbone->positions, error);
  if (start == NULL ||
      !gem_checkpoint_check_licences(start->all_licences, options->all_licences, path, error) ||
      !gem_backbone_checkpoint_check_same(start, backbone, path, error)) {
    return FALSE;
  }
  tell_of_mask(start, backbone, path);
  memcpy(gem_trainer_values(trainer), start->values, backbone->parameters->size * sizeof(float));
  gem_centroids_start_from(centroids, start->centroids);
  return TRUE;
}

/* What must be the same in a run that goes on (gem-train-resume.h). NULL with an error. */
static GString *
identify(const PretrainOptions *options, const GemCorpus *corpus, gboolean with_router, GError **error)
{
  g_autoptr(GString) identity = gem_train_identity_new(&options->training, corpus);
  g_autofree char *router = NULL;
  guint64 size = 0;
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"sequence", options->sequence},
                 {"routed-share", options->routed_share},
                 {"dropout", options->dropout},
                 {"residual-dropout", options->draw.residual_dropout},
                 {"input-dropout", options->draw.input_dropout},
                 {"input-share", options->draw.input_share},
                 {"answer-weight", options->draw.answer_weight},
                 {"answer-least", options->draw.answer_least},
                 {"choice-weight", options->draw.choice_weight},
                 {"contest-weight", options->draw.contest_weight},
                 {"contest-rivals", options->rivals},
                 {"passage-share", options->draw.passage_share},
                 {"copy-share", options->draw.copy_share}};
  if (with_router && !gem_file_hash(options->router, &size, &router, error)) {
    return NULL;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
    gem_run_identity_add_number(identity, numbers[i].name, numbers[i].value);
  }
  gem_run_identity_add_string(identity, "tasks", options->tasks);
  gem_run_identity_add_string(identity, "router", router);
  return g_steal_pointer(&identity);
}

/* The state of a run with the same options: the mask is the same, too, which a run from start values may
 * change. */
static gboolean
resume(const Pretraining *self, GemTrainer *trainer, GError **error)
{
  const PretrainOptions *options = self->options;
  const char *path = options->training.checkpoint;
  const GemModelShape *wanted = &self->backbone->shape;
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  if (file == NULL ||
      !gem_checkpoint_check_licences(gem_checkpoint_has_mark(file), options->all_licences, path, error) ||
      !gem_model_shape_read(file, &shape, error) ||
      !gem_checkpoint_check_heads(&shape, wanted, path, error) ||
      !gem_checkpoint_check_clusters(&shape, wanted, path, error) ||
      !gem_checkpoint_check_mask(&shape, wanted, path, error)) {
    return FALSE;
  }
  if (!gem_trainer_resume(trainer, file, error) ||
      !gem_train_routed_check(file, gem_trainer_step(trainer), options->routed_share,
                              (guint64)options->training.steps, error) ||
      !gem_train_identity_check(self->identity, file, gem_trainer_step(trainer) > self->routed_from, error) ||
      !gem_centroids_read(self->centroids, "scar:", file, error)) {
    return FALSE;
  }
  g_printerr("resuming %s at step %" G_GUINT64_FORMAT "\n", path, gem_trainer_step(trainer));
  return TRUE;
}

static gboolean
train(const PretrainOptions *options,
      GemCorpus *corpus,
      GemBackbone *backbone,
      GemRouterCheckpoint *router,
      GemTokenizer *tokenizer,
      GError **error)
{
  g_auto(GemAskFrame) frame = {0};
  g_auto(GemSentences) sentences = {0};
  if (!gem_ask_frame_init(&frame, tokenizer, GEM_PRESET_ASK_TEMPLATE, error)) {
    return FALSE;
  }
  gem_sentences_init(&sentences, tokenizer);
  guint least = gem_passage_contest_least_sequence(&frame);
  if (options->draw.passage_share > 0.0 && (guint)options->sequence < least) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--passage-share=%g: a passage and a sentence need --sequence=%u or more",
                options->draw.passage_share, least);
    return FALSE;
  }
  g_autoptr(GString) identity = identify(options, corpus, router != NULL, error);
  if (identity == NULL) {
    return FALSE;
  }
  g_autoptr(GemLanes) threads = gem_lanes_new((guint)options->training.lanes);
  g_autoptr(GemCentroids) centroids = gem_centroids_new(backbone, (guint64)options->training.seed);
  const GemTrainerOptions trainer_options =
      gem_training_options_get_trainer(&options->training, (guint)options->accumulate, "pretrain");
  g_autoptr(GemTrainer) trainer = gem_trainer_new(backbone->parameters, &trainer_options, threads);
  Pretraining self = {.options = options,
                      .corpus = corpus,
                      .backbone = backbone,
                      .centroids = centroids,
                      .router = router,
                      .draw = {options->draw, gem_tokenizer_bos(tokenizer), frame, &sentences},
                      .identity = identity,
                      .routed_from =
                          gem_train_routed_from(options->routed_share, (guint64)options->training.steps),
                      .n_lanes = (guint)options->training.lanes};
  if (options->training.resume ? !resume(&self, trainer, error)
                               : options->from != NULL && !start_from(options, trainer, centroids, error)) {
    return FALSE;
  }
  self.step = gem_trainer_step(trainer);
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

/* `data`: the choice of --tasks. */
static gboolean
wants_source(const char *source, gboolean is_task, gpointer data)
{
  return !is_task || gem_task_choice_has(data, source);
}

static GemCorpus *
load_corpus(PretrainOptions *options, GemTokenizer *tokenizer, GError **error)
{
  g_autoptr(GemTaskChoice) choice = NULL;
  if (options->tasks != NULL && (choice = gem_task_choice_parse(options->tasks, error)) == NULL) {
    g_prefix_error(error, "--tasks: ");
    return NULL;
  }
  const GemCorpusOptions corpus_options = {.folder = options->training.data,
                                           .split = GEM_SPLIT_TRAIN,
                                           .corpus = TRUE,
                                           .tasks = TRUE,
                                           .all_licences = options->all_licences,
                                           .forks = options->draw.choice_weight > 0.0,
                                           .rivals = options->draw.contest_weight > 0.0,
                                           .ask_template = GEM_PRESET_ASK_TEMPLATE,
                                           .wants = choice != NULL ? wants_source : NULL,
                                           .progress = report_source,
                                           .data = choice};
  /* all domains, also for a model without: what has no pathway is general text to it */
  g_autoptr(GemCorpus) corpus = gem_corpus_load(&corpus_options, gem_preset_domains, tokenizer, error);
  if (corpus == NULL || !gem_corpus_check_draw(corpus, options->training.shares.general, 1, error)) {
    return NULL;
  }
  if (choice != NULL && !gem_task_choice_apply(choice, corpus, error)) {
    g_prefix_error(error, "%s: --tasks: ", options->training.data);
    return NULL;
  }
  options->training.shares.by_times = choice != NULL && choice->by_times;
  g_printerr("%.1f M tokens of text\n", (double)gem_corpus_n_tokens(corpus) / 1e6);
  return g_steal_pointer(&corpus);
}

/* NULL without an error when none is wanted. */
static gboolean
load_router(const PretrainOptions *options,
            const GemModelShape *shape,
            GemRouterCheckpoint **ret_router,
            GError **error)
{
  if (options->router == NULL || options->draw.general_only) {
    *ret_router = NULL;
    return TRUE;
  }
  g_autoptr(GemRouterCheckpoint) router =
      gem_router_checkpoint_load(options->router, (gsize)options->sequence, error);
  if (router == NULL ||
      !gem_checkpoint_check_licences(router->all_licences, options->all_licences, options->router, error) ||
      !gem_router_checkpoint_check(router, options->router, shape, "the model", error)) {
    return FALSE;
  }
  *ret_router = g_steal_pointer(&router);
  return TRUE;
}

static gboolean
pretrain(PretrainOptions *options, GError **error)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (!gem_training_options_get_preset(&options->training, &preset, error) ||
      (options->draw.general_only && !gem_preset_apply_shape(&preset, "domains=0", error)) ||
      !gem_training_options_select_matmul(&options->training, error)) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->training.tokenizer, error);
  if (tokenizer == NULL ||
      !gem_checkpoint_check_vocabulary(tokenizer, options->training.tokenizer, preset.general.vocab,
                                       "the model", error) ||
      !load_router(options, &preset.general, &router, error)) {
    return FALSE;
  }
  g_autoptr(GemCorpus) corpus = load_corpus(options, tokenizer, error);
  if (corpus == NULL) {
    return FALSE;
  }
  g_autoptr(GemBackbone) backbone = gem_backbone_new(&preset.general, (gsize)options->sequence);
  return train(options, corpus, backbone, router, tokenizer, error);
}

static gboolean
check_shares(const PretrainOptions *self, GError **error)
{
  if (!gem_train_options_check("residual-dropout", self->draw.residual_dropout, 0.0, 1.0, error) ||
      !gem_train_options_check("dropout", self->dropout, 0.0, 0.9, error) ||
      !gem_train_options_check("input-dropout", self->draw.input_dropout, 0.0, 0.9, error) ||
      !gem_train_options_check("input-share", self->draw.input_share, 0.0, 1.0, error) ||
      !gem_train_options_check("routed-share", self->routed_share, 0.0, 1.0, error)) {
    return FALSE;
  }
  if (self->draw.input_dropout > 0.0 && self->draw.input_share >= 1.0) {
    g_set_error(
        error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
        "--input-dropout=%g drops tokens of inputs that are not learned, and with --input-share=1 all "
        "are; give a lower --input-share",
        self->draw.input_dropout);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_weights(const PretrainOptions *self, GError **error)
{
  if (!gem_train_options_check("answer-weight", self->draw.answer_weight, 0.0, 1000.0, error) ||
      !gem_train_options_check("answer-least", self->draw.answer_least, 0.0, 1000.0, error) ||
      !gem_train_options_check("choice-weight", self->draw.choice_weight, 0.0, 1000.0, error) ||
      !gem_train_options_check("contest-weight", self->draw.contest_weight, 0.0, 1000.0, error) ||
      !gem_train_options_check("contest-rivals", self->rivals, 1, 100, error) ||
      !gem_train_options_check("passage-share", self->draw.passage_share, 0.0, 1.0, error) ||
      !gem_train_options_check("copy-share", self->draw.copy_share, 0.0, 1.0, error)) {
    return FALSE;
  }
  if (self->draw.passage_share > 0.0 && self->draw.contest_weight <= 0.0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--passage-share=%g makes contests, which weigh nothing; give a --contest-weight, too",
                self->draw.passage_share);
    return FALSE;
  }
  return TRUE;
}

/* How answers are taught. */
static void
add_weights(PretrainOptions *self, GOptionContext *context)
{
  const GOptionEntry entries[] = {
      {"answer-weight", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.answer_weight,
       "Weight of each of an answer's tokens in the loss", "R"},
      {"answer-least", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.answer_least,
       "Weight that all tokens of an answer have together at least", "R"},
      {"choice-weight", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.choice_weight,
       "Weight of telling an answer from the line's other choices, or the task's other labels, in place of "
       "--answer-least (0: none)",
       "R"},
      {"contest-weight", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.contest_weight,
       "Weight of telling an answer, as a whole, from other choices of its line, in place of --choice-weight "
       "where a line has its own (0: none)",
       "R"},
      {"passage-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.passage_share,
       "Share of the corpus's windows that are a passage, and its next sentence to be told from others "
       "(--contest-weight)",
       "R"},
      {"copy-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.copy_share,
       "Share of the corpus's other windows that are a passage, and then pieces of it again", "R"},
      {"contest-rivals", 0, 0, G_OPTION_ARG_INT, &self->rivals,
       "Wrong choices of a contest, drawn anew each time, at most (3)", "N"},
      G_OPTION_ENTRY_NULL};
  gem_train_options_add(context, entries);
}

static gboolean
parse(PretrainOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &self->router,
       "A router's checkpoint, for the routes of the last steps", "FILE"},
      {"from", 0, 0, G_OPTION_ARG_FILENAME, &self->from,
       "Start values: a model folder or a checkpoint of the same shape", "PATH"},
      {"general-only", 0, 0, G_OPTION_ARG_NONE, &self->draw.general_only,
       "No domains: the model to compare with", NULL},
      {"sequence", 0, 0, G_OPTION_ARG_INT, &self->sequence, "Longest sequence", "N"},
      {"accumulate", 0, 0, G_OPTION_ARG_INT, &self->accumulate, "Batches a lane and step", "N"},
      {"residual-dropout", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.residual_dropout,
       "Share of documents run by general alone", "R"},
      {"dropout", 0, 0, G_OPTION_ARG_DOUBLE, &self->dropout,
       "Share of the values that are dropped from the embedding, attention and the feed-forwards' inputs",
       "R"},
      {"input-dropout", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.input_dropout,
       "Share of the input's tokens that are left out where the input is not learned (--input-share)", "R"},
      {"routed-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->routed_share,
       "Last share of steps, with the router's routes and fixed centroids", "R"},
      {"input-share", 0, 0, G_OPTION_ARG_DOUBLE, &self->draw.input_share,
       "Share of the tasks' lines of which the input is learned, too; of the others the answer alone (1)",
       "R"},
      {"tasks", 0, 0, G_OPTION_ARG_STRING, &self->tasks,
       "Lines of these tasks alone; * and ? stand for others. =TIMES: lines of any domain are drawn alike, "
       "those of this task so many times as often",
       "DOMAIN/NAME[=TIMES],..."},
      {"all-licences", 0, 0, G_OPTION_ARG_NONE, &self->all_licences,
       "Tasks that are not permissive, too: for measuring, never for a model that ships", NULL},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("--data DIR --tokenizer FILE --checkpoint FILE");
  g_option_context_set_summary(
      context, "Trains the general part and the domain residuals together, documents routed by their label.");
  gem_training_options_add(&self->training, context);
  gem_train_options_add(context, entries);
  add_weights(self, context);
  gboolean parsed = gem_train_options_parse(context, argc, argv, 0, NULL, error);
  self->draw.most_rivals = (guint)self->rivals;
  self->draw.longest = (guint)self->sequence;
  return parsed && gem_training_options_check(&self->training, 32, error) &&
         gem_train_options_need("checkpoint", self->training.checkpoint, error) &&
         gem_train_options_check("sequence", self->sequence, 32, self->training.batch_tokens, error) &&
         gem_train_options_check("accumulate", self->accumulate, 1, 1024, error) &&
         check_weights(self, error) && check_shares(self, error) &&
         gem_train_options_check_readable(self->training.resume ? NULL : self->from, error) &&
         gem_train_options_check_checkpoint(self->training.checkpoint, self->training.resume, error);
}

int
gem_train_pretrain_command(int argc, char **argv)
{
  g_auto(PretrainOptions) options = {
      .training = {.steps = 3600,
                   .warm_up = 100,
                   .batch_tokens = 4096,
                   .lanes = 2,
                   .seed = 1,
                   .rate = 2e-3,
                   .decay_share = 0.5,
                   .weight_decay = 0.05,
                   .checkpoint_minutes = 10.0,
                   .shares = {.general = 0.15, .task = 0.6}},
      .sequence = 512,
      .accumulate = 1,
      .rivals = 3,
      .draw = {.residual_dropout = 0.2, .input_share = 1.0, .answer_weight = 2.0, .answer_least = 0.0},
      .routed_share = 0.1};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && pretrain(&options, &error);
  return done ? 0 : gem_train_fail_training("pretrain", error, options.training.checkpoint);
}
