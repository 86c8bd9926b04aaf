#include "training/experiment/gem-variant-experiment.h"

#include <math.h>
#include <string.h>

#include "training/experiment/gem-result-json.h"
#include "training/experiment/gem-retraining.h"
#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-network.h"
#include "training/experiment/gem-variant-score.h"
#include "training/network/gem-progress.h"

#define PROBE_STEPS 2
#define PROBE_ITEMS 8

/* As in the last of gem-mini's runs, but for its choice of tasks: all are read, each by the square root of
 * its lines. */
static const GemDrawShares mixture = {.general = 0.03, .task = 0.9, .domain_power = 0.25};
static const GemPretrainDrawOptions pretrain_draw = {.residual_dropout = 0.2,
                                                     .input_share = 0.5,
                                                     .answer_weight = 2.0,
                                                     .answer_least = 150.0,
                                                     .choice_weight = 120.0};

/* One cell, as it runs. */
typedef struct {
  GemExperiment *experiment;
  const GemVariantPlan *plan;
  GemVariantCell cell;
  GemBackboneCheckpoint *network;
  GemRouterCheckpoint *own_router; /* NULL: the model's */
  float *router_values;
  double loss, seconds; /* of an adaptation's last step; of what was learned in this run. NAN: none was */
  GemProgress *progress;
  GCancellable *cancellable;
  gsize tokens;
} Run;

static void
run_clear(Run *self)
{
  g_clear_pointer(&self->network, gem_backbone_checkpoint_free);
  g_clear_pointer(&self->own_router, gem_router_checkpoint_free);
  g_clear_pointer(&self->router_values, g_aligned_free);
  g_clear_pointer(&self->progress, gem_progress_free);
  g_clear_object(&self->cancellable);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static const GemRouterNetwork *
router_of(const Run *self)
{
  return self->own_router != NULL ? self->own_router->network : self->experiment->router->network;
}

/* ---- cells ---- */

static gboolean
add_cells(const GemExperiment *experiment,
          const GemVariantPlan *plan,
          const GemVariant *variant,
          guint seed,
          GArray *cells)
{
  g_auto(GStrv) names = plan->domains != NULL ? g_strsplit(plan->domains, ",", -1) : NULL;
  guint before = cells->len;
  GemVariantCell cell = {
      .variant = variant, .domain = GEM_ROUTE_GENERAL, .seed = seed, .own_only = plan->own_only};
  if (variant->learning != GEM_VARIANT_ADAPTS) {
    g_array_append_val(cells, cell);
    return TRUE;
  }
  for (guint i = 0; i < experiment->domains->len; i++) {
    cell.domain = g_array_index(experiment->domains, gint8, i);
    const char *name = experiment->model->backbone->shape.domains[cell.domain];
    if (names == NULL || g_strv_contains((const char *const *)names, name)) {
      g_array_append_val(cells, cell);
    }
  }
  return cells->len > before;
}

GArray *
gem_variant_cells_new(const GemExperiment *experiment, const GemVariantPlan *plan, GError **error)
{
  g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(GemVariantCell));
  const char *const *names = experiment->options->variations;
  for (guint seed = 1; seed <= experiment->options->seeds; seed++) {
    for (guint i = 0; names[i] != NULL; i++) {
      const GemVariant *variant = gem_variant_find(names[i]);
      if (variant->learning == GEM_VARIANT_STAYS && seed > 1) {
        continue;
      }
      if ((guint)variant->cluster_set >= MAX(experiment->model->backbone->shape.n_cluster_sets, 1)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--variations: %s has no second set of centroids for %s", experiment->options->model,
                    names[i]);
        return NULL;
      }
      if (!add_cells(experiment, plan, variant, seed, cells)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--domains: %s is adapted to %s, and none of these is there", names[i], plan->domains);
        return NULL;
      }
    }
  }
  return g_steal_pointer(&cells);
}

static char *
path_of(const GemExperiment *experiment, const char *name, gint8 domain, guint seed, const char *suffix)
{
  const char *of = domain >= 0 ? experiment->model->backbone->shape.domains[domain] : NULL;
  g_autofree char *file = of != NULL ? g_strdup_printf("%s-%s-%u.%s", name, of, seed, suffix)
                                     : g_strdup_printf("%s-%u.%s", name, seed, suffix);
  return g_build_filename(experiment->options->work, file, NULL);
}

char *
gem_variant_cell_path(const GemExperiment *experiment, const GemVariantCell *cell)
{
  g_autofree char *name = g_strconcat(cell->own_only ? "own-" : "", cell->variant->name, NULL);
  return path_of(experiment, name, cell->domain, cell->seed, "json");
}

char *
gem_variant_router_path(const GemExperiment *experiment, const GemVariant *variant)
{
  g_autofree char *file = g_strdup_printf("router-%s.gguf", variant->name);
  return g_build_filename(experiment->options->work, file, NULL);
}

/* ---- learning ---- */

static void
show_progress(const GemAdaptationProgress *now, gpointer data)
{
  Run *self = data;
  gsize tokens = now->tokens - self->tokens;
  self->tokens = now->tokens;
  self->loss = now->loss;
  if (self->progress != NULL) {
    gem_progress_step(self->progress, now->step, now->loss * (double)tokens, tokens, now->rate, NULL);
    if (gem_progress_interrupted()) {
      g_cancellable_cancel(self->cancellable);
    }
  }
}

static GemAdaptOptions
adapt_options(const Run *self, guint steps)
{
  const GemExperimentOptions *common = self->experiment->options;
  const GemVariant *variant = self->cell.variant;
  GemAdaptOptions options;
  gem_adapt_options_init(&options, variant->learns);
  gboolean residual = variant->learns == GEM_LEARNS_RESIDUAL;
  options.rate = residual ? common->rate : (variant->plain ? common->plain_rate : common->dense_rate);
  options.rate = variant->rate > 0.0 ? variant->rate : options.rate;
  options.domain = self->cell.domain;
  options.cluster_set = self->experiment->model->backbone->shape.n_cluster_sets > 0 ? 0 : -1;
  options.lanes = common->lanes;
  options.sequence = common->sequence;
  options.batch_tokens = common->batch_tokens;
  options.replay_tokens = common->replay_tokens;
  options.power = 0.5;
  options.steps = steps;
  options.warm_up = common->steps / 20;
  options.seed = self->cell.seed;
  options.types = self->experiment->types;
  if (variant->plain) {
    gem_adapt_options_make_plain(&options);
  }
  return options;
}

static gboolean
adapt(Run *self, guint steps, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  const GemAdaptOptions options = adapt_options(self, steps);
  g_autoptr(GArray) texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText)),
                    replay = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  gem_adapt_data_add_texts(texts, experiment->corpus, self->cell.domain, experiment->options->kinds, NULL);
  gem_adapt_data_add_replay(replay, experiment->corpus, self->cell.domain);
  const GemAdaptData data = {.texts = (const GemAdaptText *)(gpointer)texts->data,
                             .n_texts = texts->len,
                             .replay = (const GemAdaptText *)(gpointer)replay->data,
                             .n_replay = replay->len,
                             .bos = gem_tokenizer_bos(experiment->model->tokenizer)};
  self->cancellable = g_cancellable_new();
  const GemAdaptHooks hooks = {.progress = show_progress, .cancellable = self->cancellable, .data = self};
  return gem_adapt_run(self->network->backbone, self->network->centroids->values, self->network->values,
                       &data, &options, &hooks, NULL, NULL, error);
}

static int
cluster_set_of(const Run *self)
{
  gboolean dense = self->cell.variant->dense || self->experiment->model->backbone->shape.n_cluster_sets == 0;
  return dense ? -1 : self->cell.variant->cluster_set;
}

static gboolean
retrain(Run *self, guint steps, const char *title, GError **error)
{
  const GemExperimentOptions *common = self->experiment->options;
  const GemRetrainingOptions options = {.cluster_set = cluster_set_of(self),
                                        .keep_centroids = self->cell.variant->fixed_centroids,
                                        .steps = steps,
                                        .warm_up = common->steps / 20,
                                        .batch_tokens = common->batch_tokens,
                                        .sequence = common->sequence,
                                        .lanes = common->lanes,
                                        .rate = common->dense_rate,
                                        .seed = self->cell.seed,
                                        .bos = gem_tokenizer_bos(self->experiment->model->tokenizer),
                                        .shares = mixture,
                                        .draw = pretrain_draw,
                                        .title = title};
  return gem_retrain(self->network->backbone, self->network->centroids, self->network->values,
                     self->experiment->corpus, &options, error);
}

/* The network that the cell's variant, or the one whose network it runs, has retrained. */
static gboolean
take_retrained(Run *self, const char *title, gboolean *ret_there, GError **error)
{
  const GemVariant *variant = self->cell.variant;
  g_autofree char *path =
      path_of(self->experiment, variant->network != NULL ? variant->network : variant->name,
              GEM_ROUTE_GENERAL, self->cell.seed, "network.gguf");
  gboolean there = g_file_test(path, G_FILE_TEST_EXISTS);
  gboolean done = there ? gem_variant_network_read(self->network, path, error)
                        : retrain(self, self->experiment->options->steps, title, error) &&
                              gem_variant_network_write(self->network, path, error);
  if (done) {
    *ret_there = there;
  }
  return done;
}

static gboolean
learn(Run *self, GError **error)
{
  const GemVariantCell *cell = &self->cell;
  const char *domain =
      cell->domain >= 0 ? self->experiment->model->backbone->shape.domains[cell->domain] : "all";
  g_autofree char *title = g_strdup_printf("%s, %s, seed %u", cell->variant->name, domain, cell->seed);
  gint64 start = g_get_monotonic_time();
  gboolean done = TRUE, there = FALSE;
  if (cell->variant->learning == GEM_VARIANT_RETRAINS) {
    done = take_retrained(self, title, &there, error);
  } else if (cell->variant->learning == GEM_VARIANT_ADAPTS) {
    self->progress = gem_progress_new(title, 0, self->experiment->options->steps);
    done = adapt(self, self->experiment->options->steps, error);
  } else {
    g_printerr("%s\n", title);
  }
  gboolean learned = !there && cell->variant->learning != GEM_VARIANT_STAYS;
  self->seconds = learned ? (double)(g_get_monotonic_time() - start) / 1e6 : NAN;
  return done;
}

/* ---- what it is worth ---- */

static gboolean
take_router(Run *self, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  const GemVariant *variant = self->cell.variant;
  const GemRouterCheckpoint *router = experiment->router;
  if (variant->router != GEM_ROUTER_OF_MODEL) {
    g_autofree char *path = gem_variant_router_path(experiment, variant);
    self->own_router = gem_router_checkpoint_load(path, experiment->router->network->positions, error);
    if (self->own_router == NULL ||
        !gem_router_checkpoint_check(self->own_router, path, &experiment->model->backbone->shape,
                                     experiment->options->model, error)) {
      return FALSE;
    }
    router = self->own_router;
  }
  self->router_values = gem_parameters_alloc(router->network->parameters);
  memcpy(self->router_values, router->values, router->network->parameters->size * sizeof(float));
  gem_variant_router_compress(variant, &experiment->types, router->network, self->router_values);
  return TRUE;
}

static GemChoiceModel
choice_model(const Run *self)
{
  gboolean dense = gem_variant_is_dense_network(self->cell.variant), routed = !dense && !self->plan->own_only;
  return (GemChoiceModel){.backbone = self->network->backbone,
                          .values = self->network->values,
                          .centroids = self->network->centroids->values,
                          .cluster_set = cluster_set_of(self),
                          .forced = dense ? GEM_ROUTE_GENERAL : GEM_CHOICE_OWN_DOMAIN,
                          .router = routed ? router_of(self) : NULL,
                          .router_values = self->router_values};
}

static gboolean
write_cell(const Run *self, const GemVariantScore *score, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  g_autofree char *path = gem_variant_cell_path(experiment, &self->cell);
  gboolean dense = gem_variant_is_dense_network(self->cell.variant);
  double routed = dense ? 0.0
                        : gem_variant_routed_share(experiment->tasks, router_of(self), self->router_values,
                                                   experiment->model->backbone->shape.router_threshold);
  GemVariantCosts costs =
      gem_variant_costs(self->cell.variant, &experiment->types, self->network, router_of(self), routed);
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "signature");
  json_builder_add_string_value(builder, experiment->signature);
  gem_variant_costs_to_json(&costs, builder);
  gem_result_json_add_member(builder, "loss", self->loss);
  gem_result_json_add_member(builder, "seconds", self->seconds);
  gem_variant_score_to_json(score, experiment->tasks, builder);
  json_builder_end_object(builder);
  return gem_result_json_write(builder, path, error);
}

static gboolean
measure(Run *self, GError **error)
{
  const GemExperiment *experiment = self->experiment;
  const GemVariant *variant = self->cell.variant;
  /* of an adaptation, plain ones are never quantized */
  if (!variant->plain) {
    gem_variant_network_compress(variant, &experiment->types, self->network);
  }
  if (!take_router(self, error)) {
    return FALSE;
  }
  const GemChoiceModel model = choice_model(self);
  gboolean forced = experiment->options->transfer_items > 0 && !gem_variant_is_dense_network(variant) &&
                    !self->plan->own_only;
  g_autoptr(GemVariantScore) score =
      gem_variant_score_new(experiment->tasks, forced ? experiment->model->backbone->shape.n_domains : 0);
  if (!gem_variant_score_run(score, experiment->tasks, &model,
                             self->plan->own_only ? self->cell.domain : GEM_ROUTE_GENERAL,
                             experiment->lanes) ||
      (forced && !gem_variant_score_run_forced(score, experiment->tasks, &model,
                                               experiment->options->transfer_items, experiment->lanes))) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped; the same command goes on from there");
    return FALSE;
  }
  return write_cell(self, score, error);
}

/* ---- all of it ---- */

static void
run_init(Run *self, GemExperiment *experiment, const GemVariantPlan *plan, const GemVariantCell *cell)
{
  *self = (Run){.experiment = experiment, .plan = plan, .cell = *cell, .loss = NAN, .seconds = NAN};
  self->network = gem_variant_network_new(cell->variant, experiment->model, cell->seed);
}

static gboolean
cell_is_there(const GemExperiment *experiment, const GemVariantCell *cell)
{
  g_autofree char *path = gem_variant_cell_path(experiment, cell);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

gboolean
gem_variant_experiment_run(GemExperiment *experiment, const GemVariantPlan *plan, GError **error)
{
  g_autoptr(GArray) cells = gem_variant_cells_new(experiment, plan, error);
  for (guint i = 0; cells != NULL && i < cells->len; i++) {
    const GemVariantCell *cell = &g_array_index(cells, GemVariantCell, i);
    if (cell_is_there(experiment, cell)) {
      continue;
    }
    g_auto(Run) self = {0};
    run_init(&self, experiment, plan, cell);
    if (!learn(&self, error) || !measure(&self, error)) {
      g_prefix_error(error, "%s, seed %u: ", cell->variant->name, cell->seed);
      return FALSE;
    }
  }
  return cells != NULL;
}

/* ---- how long ---- */

/* Of the first items of each task, for all of them and, where pathways are forced, for those. */
static double
estimate_scoring(const Run *self)
{
  const GemExperimentOptions *options = self->experiment->options;
  const GemChoiceModel model = choice_model(self);
  double seconds = 0.0;
  for (guint t = 0; t < self->experiment->tasks->len; t++) {
    const GemChoiceTask *task = self->experiment->tasks->pdata[t];
    if (self->plan->own_only && self->cell.domain >= 0 && task->domain != self->cell.domain) {
      continue;
    }
    g_autoptr(GPtrArray) few = g_ptr_array_new();
    for (guint i = 0; i < MIN(task->items->len, PROBE_ITEMS); i++) {
      g_ptr_array_add(few, task->items->pdata[i]);
    }
    const GemChoiceTask sample = {.domain = task->domain, .items = few};
    g_autofree guint8 *chosen = g_new(guint8, few->len);
    gint64 start = g_get_monotonic_time();
    gem_choice_task_choose(&sample, &model, self->experiment->lanes, chosen);
    double each = (double)(g_get_monotonic_time() - start) / 1e6 / (double)few->len;
    gboolean forced = !gem_variant_is_dense_network(self->cell.variant) && !self->plan->own_only;
    seconds += each * (double)task->items->len;
    seconds += forced ? each * (double)MIN(options->transfer_items, task->items->len) *
                            (double)self->experiment->model->backbone->shape.n_domains
                      : 0.0;
  }
  return seconds;
}

double
gem_variant_experiment_estimate(GemExperiment *experiment, const GemVariantPlan *plan, GError **error)
{
  g_autoptr(GArray) cells = gem_variant_cells_new(experiment, plan, error);
  double seconds = 0.0, learning[3] = {0.0, 0.0, 0.0}, scoring = -1.0;
  for (guint i = 0; cells != NULL && i < cells->len; i++) {
    const GemVariantCell *cell = &g_array_index(cells, GemVariantCell, i);
    GemVariantLearning how = cell->variant->learning;
    if (cell_is_there(experiment, cell)) {
      continue;
    }
    g_auto(Run) self = {0};
    run_init(&self, experiment, plan, cell);
    self.router_values = gem_parameters_alloc(experiment->router->network->parameters);
    memcpy(self.router_values, experiment->router->values,
           experiment->router->network->parameters->size * sizeof(float));
    scoring = scoring >= 0.0 ? scoring : estimate_scoring(&self);
    gint64 start = g_get_monotonic_time();
    if (learning[how] <= 0.0 && how != GEM_VARIANT_STAYS) {
      gboolean done = how == GEM_VARIANT_ADAPTS ? adapt(&self, PROBE_STEPS, error)
                                                : retrain(&self, PROBE_STEPS, NULL, error);
      if (!done) {
        return -1.0;
      }
      learning[how] =
          (double)(g_get_monotonic_time() - start) / 1e6 / PROBE_STEPS * experiment->options->steps;
    }
    seconds += scoring + (cell->variant->network == NULL ? learning[how] : 0.0);
  }
  return cells != NULL ? seconds : -1.0;
}
