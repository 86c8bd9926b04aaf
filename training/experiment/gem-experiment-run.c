/* The stages of an experiment. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "training/adapt/gem-adapt-router.h"
#include "training/adapt/gem-adapt-row-data.h"
#include "training/experiment/gem-experiment.h"
#include "training/experiment/gem-result-json.h"
#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-score.h"
#include "training/network/gem-progress.h"

/* One variation with one seed, as it stands. */
typedef struct {
  GemExperiment *experiment;
  const GemExperimentVariation *variation;
  guint seed;
  guint *order;                  /* [domains] the stage of each */
  float *values, *router_values; /* the network's and the router's */
  GemProgress *progress;
  GCancellable *cancellable;
  GemAdaptationProgress last;
  GemAdaptRowFigures row; /* of the last stage that was learned; NAN: none */
} Sequence;

static void
sequence_init(Sequence *self, GemExperiment *experiment, const GemExperimentVariation *variation, guint seed)
{
  gsize size = experiment->model->backbone->parameters->size,
        router_size = experiment->router->network->parameters->size;
  *self = (Sequence){.experiment = experiment,
                     .variation = variation,
                     .seed = seed,
                     .row = {.loss = NAN, .own_share = NAN, .lost_share = NAN}};
  self->order = g_new0(guint, experiment->domains->len);
  gem_experiment_order(experiment, seed, self->order);
  self->values = gem_parameters_alloc(experiment->model->backbone->parameters);
  self->router_values = gem_parameters_alloc(experiment->router->network->parameters);
  memcpy(self->values, experiment->model->values, size * sizeof(float));
  memcpy(self->router_values, experiment->router->values, router_size * sizeof(float));
}

static void
sequence_clear(Sequence *self)
{
  g_free(self->order);
  g_aligned_free(self->values);
  g_aligned_free(self->router_values);
  g_clear_pointer(&self->progress, gem_progress_free);
  g_clear_object(&self->cancellable);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sequence, sequence_clear)

static gint8
domain_of_stage(const Sequence *self, guint stage)
{
  for (guint i = 0; i < self->experiment->domains->len; i++) {
    if (self->order[i] == stage) {
      return g_array_index(self->experiment->domains, gint8, i);
    }
  }
  return GEM_ROUTE_GENERAL;
}

static guint
stage_of_domain(const Sequence *self, gint8 domain)
{
  for (guint i = 0; i < self->experiment->domains->len; i++) {
    if (g_array_index(self->experiment->domains, gint8, i) == domain) {
      return self->order[i];
    }
  }
  return G_MAXUINT;
}

/* ---- one stage: learning ---- */

static void
show_progress(const GemAdaptationProgress *now, gpointer data)
{
  Sequence *self = data;
  gsize tokens = now->tokens - self->last.tokens;
  self->last = *now;
  if (self->progress != NULL) {
    gem_progress_step(self->progress, now->step, now->loss * (double)tokens, tokens, now->rate, NULL);
    if (gem_progress_interrupted()) {
      g_cancellable_cancel(self->cancellable);
    }
  }
}

static GemAdaptOptions
options_of(const Sequence *self, guint stage, gint8 domain)
{
  const GemExperimentOptions *common = self->experiment->options;
  gboolean residual = self->variation->learns == GEM_LEARNS_RESIDUAL;
  GemAdaptOptions options;
  gem_adapt_options_init(&options, self->variation->learns);
  options.rate = residual ? common->rate : (self->variation->plain ? common->plain_rate : common->dense_rate);
  options.domain = domain;
  options.lanes = common->lanes;
  options.sequence = common->sequence;
  options.batch_tokens = common->batch_tokens;
  options.replay_tokens = common->replay_tokens;
  options.power = 0.5;
  options.steps = common->steps;
  options.warm_up = common->steps / 20;
  options.seed = self->seed * 1000 + stage;
  options.types = self->experiment->types;
  gem_experiment_variation_apply(self->variation, &options);
  return options;
}

/* The network runs on as its files would have it. */
static void
write_blocks(Sequence *self, const GemAdaptOptions *options)
{
  if (!options->quantized) {
    return;
  }
  const GemBackbone *backbone = self->experiment->model->backbone;
  g_autoptr(GemLearnedTensors) tensors =
      gem_learned_tensors_new(backbone, options->learns, options->domain, &options->types);
  float *masters = gem_parameters_alloc(tensors->parameters);
  gem_learned_tensors_take(tensors, self->values, masters);
  gem_learned_tensors_put(tensors, masters, TRUE, self->experiment->lanes, self->values);
  g_aligned_free(masters);
}

/* The row runs on in its block type, too. */
static void
put_row(Sequence *self, gint8 domain, const float *row, gboolean quantized)
{
  const GemRouterNetwork *router = self->experiment->router->network;
  gsize width = router->shape.width;
  GemType type = quantized ? self->experiment->types.router : GEM_TYPE_F32;
  g_autofree guint8 *blocks = g_malloc(gem_type_row_bytes(type, width));
  gem_quantize_row(type, row, blocks, width);
  gem_dequantize_row(type, blocks, self->router_values + router->classifier + (gsize)domain * width, width);
}

static gboolean
learn_row(Sequence *self, const GemAdaptData *data, const GemAdaptOptions *adapted, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  const GemRouterNetwork *router = experiment->router->network;
  gint8 domain = adapted->domain;
  gsize width = router->shape.width;
  GemAdaptRowOptions options = gem_adapt_row_options_default;
  g_auto(GemAdaptRowData) row_data = {0};
  g_autofree float *row = g_new0(float, width + 1);
  options.replaced = domain;
  options.bias = FALSE;
  options.seed = self->seed;
  if (!gem_adapt_row_data_init(&row_data, data, experiment->model->tokenizer,
                               gem_experiment_ask_template(experiment), options.seed, error) ||
      !gem_adapt_router_row(router, self->router_values, &row_data.data, &options,
                            experiment->model->backbone->shape.router_threshold, row, &self->row, error)) {
    return FALSE;
  }
  put_row(self, domain, row, adapted->quantized);
  return TRUE;
}

static gboolean
learn_stage(Sequence *self, guint stage, guint steps, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  gint8 domain = domain_of_stage(self, stage);
  GemAdaptOptions options = options_of(self, stage, domain);
  g_autoptr(GArray) texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText)),
                    replay = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  gem_adapt_data_add_texts(texts, experiment->corpus, domain, experiment->options->kinds, NULL);
  gem_adapt_data_add_replay(replay, experiment->corpus, domain);
  const GemAdaptData data = {.texts = (const GemAdaptText *)(gpointer)texts->data,
                             .n_texts = texts->len,
                             .replay = (const GemAdaptText *)(gpointer)replay->data,
                             .n_replay = replay->len,
                             .bos = gem_tokenizer_bos(experiment->model->tokenizer)};
  const GemAdaptHooks hooks = {.progress = show_progress, .cancellable = self->cancellable, .data = self};
  options.steps = steps;
  self->last = (GemAdaptationProgress){0};
  if (!gem_adapt_run(experiment->model->backbone, experiment->model->centroids->values, self->values, &data,
                     &options, &hooks, NULL, NULL, error)) {
    g_prefix_error(error, "%s, seed %u, stage %u, %s: ", self->variation->name, self->seed, stage,
                   experiment->model->backbone->shape.domains[domain]);
    return FALSE;
  }
  write_blocks(self, &options);
  return !self->variation->row || learn_row(self, &data, &options, error);
}

/* ---- one stage: what it is worth ---- */

static GemChoiceModel
choice_model(const Sequence *self)
{
  const GemExperiment *experiment = self->experiment;
  const GemExperimentVariation *variation = self->variation;
  gboolean has_sets = experiment->model->backbone->shape.n_cluster_sets > 0;
  return (GemChoiceModel){.backbone = experiment->model->backbone,
                          .values = self->values,
                          .centroids = experiment->model->centroids->values,
                          .cluster_set = variation->dense || !has_sets ? -1 : variation->cluster_set,
                          .forced = variation->learns == GEM_LEARNS_GENERAL ? GEM_ROUTE_GENERAL
                                                                            : GEM_CHOICE_OWN_DOMAIN,
                          .router = variation->row ? experiment->router->network : NULL,
                          .router_values = self->router_values};
}

/* Right answers as a text of 0 and 1; macro-F1 and accuracy into `score`. */
static char *
score_task(const Sequence *self, guint t, GemVariantScore *score)
{
  const GemChoiceTask *task = self->experiment->tasks->pdata[t];
  const GemChoiceModel model = choice_model(self);
  g_autofree guint8 *chosen = g_new0(guint8, task->items->len);
  gem_variant_score_task(score, self->experiment->tasks, t, &model, self->experiment->lanes, chosen);
  char *text = g_new0(char, task->items->len + 1);
  for (guint i = 0; i < task->items->len; i++) {
    text[i] = chosen[i] == ((const GemChoiceItem *)task->items->pdata[i])->right ? '1' : '0';
  }
  return text;
}

/* What the network needs as it is at the end, and what each pathway is worth on all tasks. */
static gboolean
measure_end(const Sequence *self, GemVariantScore *score, JsonBuilder *builder)
{
  const GemExperiment *experiment = self->experiment;
  const GemVariant variant = gem_experiment_variation_variant(self->variation);
  const GemExportTypes types = gem_experiment_variation_types(self->variation, &experiment->types);
  const GemRouterNetwork *router = experiment->router->network;
  const GemChoiceModel model = choice_model(self);
  double routed = gem_variant_is_dense_network(&variant)
                      ? 0.0
                      : gem_variant_routed_share(experiment->tasks, router, self->router_values,
                                                 experiment->model->backbone->shape.router_threshold);
  GemVariantCosts costs = gem_variant_costs(&variant, &types, experiment->model, router, routed);
  gem_variant_costs_to_json(&costs, builder);
  if (score->n_pathways > 0 &&
      !gem_variant_score_run_forced(score, experiment->tasks, &model, experiment->options->transfer_items,
                                    experiment->lanes)) {
    return FALSE;
  }
  gem_variant_score_to_json(score, experiment->tasks, builder);
  return TRUE;
}

static void
add_head(const Sequence *self, guint stage, JsonBuilder *builder)
{
  const char *domain =
      stage > 0 ? self->experiment->model->backbone->shape.domains[domain_of_stage(self, stage)] : "";
  json_builder_set_member_name(builder, "signature");
  json_builder_add_string_value(builder, self->experiment->signature);
  json_builder_set_member_name(builder, "domain");
  json_builder_add_string_value(builder, domain);
  json_builder_set_member_name(builder, "loss");
  json_builder_add_double_value(builder, self->last.loss);
  json_builder_set_member_name(builder, "tokens");
  json_builder_add_int_value(builder, (gint64)self->last.tokens);
  json_builder_set_member_name(builder, "seconds");
  json_builder_add_double_value(builder, self->last.seconds);
  gem_result_json_add_member(builder, "row_own_share", self->row.own_share);
  gem_result_json_add_member(builder, "row_lost_share", self->row.lost_share);
}

/* How many pathways are scored on all tasks after the last stage. */
static guint
n_forced(const Sequence *self, guint stage)
{
  gboolean forced = stage == self->experiment->domains->len &&
                    self->experiment->options->transfer_items > 0 &&
                    self->variation->learns != GEM_LEARNS_GENERAL;
  return forced ? self->experiment->model->backbone->shape.n_domains : 0;
}

static void
add_f1(const Sequence *self, guint stage, const GemVariantScore *score, JsonBuilder *builder)
{
  json_builder_set_member_name(builder, "f1");
  json_builder_begin_object(builder);
  for (guint t = 0; t < self->experiment->tasks->len; t++) {
    const GemChoiceTask *task = self->experiment->tasks->pdata[t];
    if (stage == 0 || stage_of_domain(self, task->domain) <= stage) {
      json_builder_set_member_name(builder, task->name);
      json_builder_add_double_value(builder, score->f1[t]);
    }
  }
  json_builder_end_object(builder);
}

/* Scores the tasks of the domains so far (of all, before the first) and writes the stage's file. */
static gboolean
measure_stage(Sequence *self, guint stage, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  g_autofree char *path = gem_experiment_stage_path(experiment, self->variation->name, self->seed, stage);
  g_autoptr(GemVariantScore) score = gem_variant_score_new(experiment->tasks, n_forced(self, stage));
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  add_head(self, stage, builder);
  json_builder_set_member_name(builder, "right");
  json_builder_begin_object(builder);
  for (guint t = 0; t < experiment->tasks->len && !gem_progress_interrupted(); t++) {
    const GemChoiceTask *task = experiment->tasks->pdata[t];
    if (stage == 0 || stage_of_domain(self, task->domain) <= stage) {
      g_autofree char *right = score_task(self, t, score);
      json_builder_set_member_name(builder, task->name);
      json_builder_add_string_value(builder, right);
    }
  }
  json_builder_end_object(builder);
  add_f1(self, stage, score, builder);
  if (gem_progress_interrupted() ||
      (stage == experiment->domains->len && !measure_end(self, score, builder))) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                "stopped; the same command goes on from the last stage");
    return FALSE;
  }
  json_builder_end_object(builder);
  return gem_result_json_write(builder, path, error);
}

/* ---- the state between stages ---- */

static char *
state_path(const Sequence *self)
{
  g_autofree char *name = g_strdup_printf("%s-%u.state.gguf", self->variation->name, self->seed);
  return g_build_filename(self->experiment->options->work, name, NULL);
}

/* What is told of a stage that has learned, beside its values: doubles, two floats each, bit for bit. */
#define FIGURES "experiment.figures"
enum { LOSS, TOKENS, SECONDS, ROW_LOSS, ROW_OWN_SHARE, ROW_LOST_SHARE, N_FIGURES };

static void
save_figures(const Sequence *self, GemGgufWriter *writer)
{
  const double figures[N_FIGURES] = {[LOSS] = self->last.loss,
                                     [TOKENS] = (double)self->last.tokens,
                                     [SECONDS] = self->last.seconds,
                                     [ROW_LOSS] = self->row.loss,
                                     [ROW_OWN_SHARE] = self->row.own_share,
                                     [ROW_LOST_SHARE] = self->row.lost_share};
  gem_gguf_writer_add_tensor_data(writer, FIGURES, GEM_TYPE_F32, 1, 2 * N_FIGURES, figures);
}

static gboolean
load_figures(Sequence *self, GemGguf *file, GError **error)
{
  double figures[N_FIGURES];
  if (!gem_gguf_read_doubles(file, FIGURES, N_FIGURES, figures, error)) {
    return FALSE;
  }
  self->last.loss = figures[LOSS];
  self->last.tokens = (gsize)figures[TOKENS];
  self->last.seconds = figures[SECONDS];
  self->row = (GemAdaptRowFigures){
      .loss = figures[ROW_LOSS], .own_share = figures[ROW_OWN_SHARE], .lost_share = figures[ROW_LOST_SHARE]};
  return TRUE;
}

static gboolean
save_state(const Sequence *self, guint stage, GError **error)
{
  g_autofree char *path = state_path(self);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_gguf_writer_set_uint(writer, "experiment.stage", stage);
  save_figures(self, writer);
  return gem_parameters_write(self->experiment->model->backbone->parameters, "value:", self->values, writer,
                              error) &&
         gem_parameters_write(self->experiment->router->network->parameters, "value:", self->router_values,
                              writer, error) &&
         gem_gguf_writer_write(writer, path, error);
}

/* The stage that the state is of; 0, with the values as they are, when there is none of this experiment. */
static gboolean
load_state(Sequence *self, guint *ret_stage, GError **error)
{
  g_autofree char *path = state_path(self);
  guint64 stage = 0;
  *ret_stage = 0;
  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    return TRUE;
  }
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  if (file == NULL || !gem_gguf_get_uint(file, "experiment.stage", &stage, error) ||
      !gem_parameters_read(self->experiment->model->backbone->parameters, "value:", file, self->values,
                           error) ||
      !gem_parameters_read(self->experiment->router->network->parameters, "value:", file, self->router_values,
                           error) ||
      !load_figures(self, file, error)) {
    return FALSE;
  }
  *ret_stage = (guint)stage;
  return TRUE;
}

/* ---- all of it ---- */

static gboolean
stage_is_there(const Sequence *self, guint stage)
{
  g_autofree char *path =
      gem_experiment_stage_path(self->experiment, self->variation->name, self->seed, stage);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

static gboolean
run_stage(Sequence *self, guint stage, guint learned, GError **error)
{
  guint stages = self->experiment->domains->len;
  g_autofree char *title =
      g_strdup_printf("%s, seed %u, stage %u of %u", self->variation->name, self->seed, stage, stages);
  g_clear_pointer(&self->progress, gem_progress_free);
  self->progress = gem_progress_new(title, 0, self->experiment->options->steps);
  if (stage > learned) {
    self->row = (GemAdaptRowFigures){NAN, NAN, NAN};
  }
  if (stage > learned && (!learn_stage(self, stage, self->experiment->options->steps, error) ||
                          !save_state(self, stage, error))) {
    return FALSE;
  }
  if (isfinite(self->row.lost_share)) {
    g_printerr("%s: the router's row takes %.1f %% of its domain's tokens and %.2f %% of other domains'\n",
               title, 100.0 * self->row.own_share, 100.0 * self->row.lost_share);
  }
  return measure_stage(self, stage, error);
}

static gboolean
run_sequence(GemExperiment *experiment, const GemExperimentVariation *variation, guint seed, GError **error)
{
  g_auto(Sequence) self = {0};
  guint stages = experiment->domains->len, learned = 0, stage = 0;
  sequence_init(&self, experiment, variation, seed);
  while (stage <= stages && stage_is_there(&self, stage)) {
    stage++;
  }
  if (stage > stages) {
    return TRUE;
  }
  self.cancellable = g_cancellable_new();
  if (!load_state(&self, &learned, error)) {
    return FALSE;
  }
  if (learned + 1 < stage || learned > stage) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s: the state of %s, seed %u, is not that of its last stage; delete them",
                experiment->options->work, variation->name, seed);
    return FALSE;
  }
  for (; stage <= stages; stage++) {
    if (!run_stage(&self, stage, learned, error)) {
      return FALSE;
    }
  }
  g_autofree char *state = state_path(&self);
  g_unlink(state);
  return TRUE;
}

/* Applies a variation's window for as long as it runs. */
static guint
set_window(GemExperiment *self, gint window)
{
  guint before = self->model->backbone->shape.window;
  self->model->backbone->shape.window = window >= 0 ? (guint)window : before;
  return before;
}

gboolean
gem_experiment_run(GemExperiment *self, GError **error)
{
  /* seed by seed, so that what is there after the first can be compared */
  for (guint seed = 1; seed <= self->options->seeds; seed++) {
    for (guint i = 0; self->options->variations[i] != NULL; i++) {
      const GemExperimentVariation *variation = gem_experiment_variation_find(self->options->variations[i]);
      guint before = set_window(self, variation->window);
      gboolean done = run_sequence(self, variation, seed, error);
      set_window(self, (gint)before);
      if (!done) {
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* ---- how long ---- */

static double
seconds_since(gint64 start)
{
  return (double)(g_get_monotonic_time() - start) / 1e6;
}

#define PROBE_ITEMS 8 /* enough for what is run together */

/* Of scoring every task once: from its first items. */
static double
estimate_scoring(const Sequence *self)
{
  const GemChoiceModel model = choice_model(self);
  double seconds = 0.0;
  for (guint t = 0; t < self->experiment->tasks->len; t++) {
    const GemChoiceTask *task = self->experiment->tasks->pdata[t];
    g_autoptr(GPtrArray) few = g_ptr_array_new();
    for (guint i = 0; i < MIN(task->items->len, PROBE_ITEMS); i++) {
      g_ptr_array_add(few, task->items->pdata[i]);
    }
    GemChoiceTask sample = {.name = task->name, .domain = task->domain, .items = few};
    g_autofree guint8 *chosen = g_new0(guint8, few->len);
    gint64 start = g_get_monotonic_time();
    gem_choice_task_choose(&sample, &model, self->experiment->lanes, chosen);
    seconds += seconds_since(start) * (double)task->items->len / (double)few->len;
  }
  return seconds;
}

/* Of the stages of a variation that are not there: before the first one all tasks are scored, once for all
 * seeds, after each one those of the domains so far, and after the last some lines of all through each
 * pathway.
 */
static double
estimate_stages(Sequence *self, double learning, double scoring)
{
  const GemExperimentOptions *options = self->experiment->options;
  guint stages = self->experiment->domains->len;
  double seconds = 0.0;
  double forced =
      options->items > 0 ? MIN((double)options->transfer_items / (double)options->items, 1.0) : 0.0;
  for (self->seed = 1; self->seed <= self->experiment->options->seeds; self->seed++) {
    for (guint stage = 0; stage <= stages; stage++) {
      if (stage == 0) {
        seconds += self->seed == 1 && !stage_is_there(self, 0) ? scoring : 0.0;
      } else if (!stage_is_there(self, stage)) {
        seconds +=
            learning + scoring * (double)stage / (double)stages + scoring * forced * n_forced(self, stage);
      }
    }
  }
  return seconds;
}

double
gem_experiment_estimate(GemExperiment *self, GError **error)
{
  const guint probe = 2;
  double seconds = 0.0;
  for (guint i = 0; self->options->variations[i] != NULL; i++) {
    const GemExperimentVariation *variation = gem_experiment_variation_find(self->options->variations[i]);
    g_auto(Sequence) sequence = {0};
    sequence_init(&sequence, self, variation, 1);
    gint64 start = g_get_monotonic_time();
    if (!learn_stage(&sequence, 1, probe, error)) {
      return -1.0;
    }
    /* what is not the steps is done once a stage: the text in order, the row, the blocks */
    double once = MAX(seconds_since(start) - sequence.last.seconds, 0.0);
    double steps = sequence.last.seconds / (double)probe * (double)self->options->steps;
    seconds += estimate_stages(&sequence, once + steps, estimate_scoring(&sequence));
  }
  return seconds;
}
