/* The members "tasks" and "transfer" of the JSON. */
#include <math.h>

#include "bench/edge/gem-edge-json-private.h"
#include "bench/edge/gem-edge-transfer.h"

static void
add_baselines(JsonBuilder *builder, const GemEdgeTaskResult *result)
{
  const GemEdgeTaskScore *score = &result->score;

  gem_edge_json_begin(builder, "chance");
  gem_bench_json_add_double(builder, "accuracy", score->chance_accuracy);
  gem_bench_json_add_double(builder, "f1", score->chance_f1);
  gem_bench_json_end_entry(builder);
  if (isfinite(score->majority_accuracy)) {
    gem_edge_json_begin(builder, "majority");
    gem_bench_json_add_double(builder, "accuracy", score->majority_accuracy);
    gem_bench_json_add_double(builder, "f1", score->majority_f1);
    gem_bench_json_end_entry(builder);
  } else {
    gem_edge_json_add_null(builder, "majority");
  }
  if (isfinite(result->linear.f1)) {
    gem_edge_json_begin(builder, "linear");
    gem_bench_json_add_double(builder, "f1", result->linear.f1);
    gem_bench_json_add_double(builder, "accuracy", result->linear.accuracy);
    gem_bench_json_end_entry(builder);
  } else {
    gem_edge_json_add_null(builder, "linear");
  }
}

static void
add_beats(JsonBuilder *builder, const char *name, gboolean known, gboolean beats)
{
  if (known) {
    gem_edge_json_add_boolean(builder, name, beats);
  } else {
    gem_edge_json_add_null(builder, name);
  }
}

static void
add_beaten(JsonBuilder *builder, const GemEdgeTaskResult *result)
{
  const GemEdgeTaskScore *score = &result->score;
  gboolean has_classes = result->task->has_classes;
  double baseline = gem_edge_score_get_baseline(score);

  add_beats(builder, "beats_majority", has_classes && isfinite(baseline),
            gem_edge_score_beats(gem_edge_score_get_accuracy(result->task, score), baseline,
                                 score->fates[GEM_BENCH_USED]));
  add_beats(builder, "beats_linear", has_classes && isfinite(result->linear.accuracy),
            gem_edge_result_beats_linear(result, FALSE));
}

static void
add_classes(JsonBuilder *builder, const GemEdgeTaskResult *result)
{
  if (result->task->form != GEM_EDGE_CHOICE) {
    gem_bench_json_add_count(builder, "truncated", result->score.truncated);
    gem_edge_json_add_null(builder, "classes");
    return;
  }
  gem_edge_json_add_null(builder, "truncated");
  gem_edge_json_begin(builder, "classes");
  gem_bench_json_add_count(builder, "fewest", result->score.fewest_labels);
  gem_bench_json_add_count(builder, "most", result->score.most_labels);
  gem_edge_json_add_boolean(builder, "shared", result->score.shared_labels);
  gem_bench_json_end_entry(builder);
}

static void
add_metrics(JsonBuilder *builder, const GemEdgeTaskResult *result)
{
  GemEdgeMetric metric;

  gem_edge_json_add_score(builder, "f1", result->f1);
  gem_bench_json_add_string(builder, "f1_is", gem_edge_metric_name(gem_edge_form_metric(result->task->form)));
  gem_edge_json_begin(builder, "metrics");
  for (metric = 0; metric < GEM_EDGE_N_METRICS; metric++) {
    if (gem_edge_form_has_metric(result->task->form, metric)) {
      gem_edge_json_add_score(builder, gem_edge_metric_name(metric), result->score.metrics[metric]);
    }
  }
  gem_bench_json_end_entry(builder);
}

static void
add_task_transfer(JsonBuilder *builder, const GemEdgeResult *self, const GemEdgeTaskResult *result)
{
  guint i;

  if (!self->has_transfer) {
    gem_edge_json_add_null(builder, "transfer");
    return;
  }
  gem_edge_json_begin(builder, "transfer");
  gem_bench_json_add_count(builder, "n", result->transfer_n);
  gem_bench_json_add_double(builder, "in", result->in);
  gem_bench_json_add_double(builder, "out", result->out);
  gem_bench_json_add_double(builder, "general", result->pathways[self->n_domains]);
  gem_edge_json_begin(builder, "by_pathway");
  for (i = 0; i <= self->n_domains; i++) {
    gem_bench_json_add_double(builder, gem_edge_plan_get_pathway(self->plan, (gint)i), result->pathways[i]);
  }
  gem_bench_json_end_entry(builder);
  gem_bench_json_end_entry(builder);
}

static void
add_task(JsonBuilder *builder, const GemEdgeResult *self, const GemEdgeTaskResult *result, guint in_flight)
{
  const GemEdgeTaskScore *score = &result->score;

  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_string(builder, "domain", result->task->domain);
  gem_bench_json_add_string(builder, "name", result->task->name);
  gem_bench_json_add_string(builder, "form", gem_edge_form_name(result->task->form));
  gem_bench_json_add_count(builder, "n", score->fates[GEM_BENCH_USED]);
  gem_edge_json_begin(builder, "skipped");
  gem_bench_json_add_count(builder, "labels", score->fates[GEM_BENCH_SKIPPED_LABELS]);
  gem_bench_json_add_count(builder, "text", score->fates[GEM_BENCH_SKIPPED_TEXT]);
  gem_bench_json_add_count(builder, "context", score->fates[GEM_BENCH_SKIPPED_CONTEXT]);
  gem_bench_json_end_entry(builder);
  add_classes(builder, result);
  add_metrics(builder, result);
  add_baselines(builder, result);
  add_beaten(builder, result);
  gem_bench_json_add_double(builder, "specialist", result->specialist.value);
  gem_bench_json_add_double(builder, "normalised", result->normalised);
  gem_edge_json_begin(builder, "latency");
  gem_bench_json_add_double(builder, "query_p50", result->latency.query_p50);
  gem_bench_json_add_double(builder, "query_p95", result->latency.query_p95);
  gem_bench_json_add_double(builder, "token_p50", result->latency.token_p50);
  gem_bench_json_add_double(builder, "token_p95", result->latency.token_p95);
  gem_bench_json_add_count(builder, "in_flight", in_flight);
  gem_bench_json_end_entry(builder);
  add_task_transfer(builder, self, result);
  gem_bench_json_end_entry(builder);
}

void
gem_edge_json_add_tasks(JsonBuilder *builder, const GemEdgeResult *result, guint in_flight)
{
  guint i;

  gem_bench_json_begin_list(builder, "tasks");
  for (i = 0; i < result->n_tasks; i++) {
    add_task(builder, result, &result->tasks[i], in_flight);
  }
  gem_bench_json_end_list(builder);
}

/* ---- transfer ---- */

static void
add_matrix(JsonBuilder *builder, const char *name, const double *matrix, guint rows, guint columns)
{
  guint i;

  json_builder_set_member_name(builder, name);
  json_builder_begin_array(builder);
  for (i = 0; i < rows; i++) {
    gem_edge_json_add_numbers(builder, NULL, matrix + (gsize)i * columns, columns);
  }
  json_builder_end_array(builder);
}

static void
add_ratios(JsonBuilder *builder, const char *name, const double *matrix, guint n)
{
  g_autofree double *ratios = gem_edge_transfer_ratios(matrix, n);

  add_matrix(builder, name, ratios, n, n);
}

/* A figure of every domain that stands at `offset` of its result. */
static void
add_by_domain(JsonBuilder *builder, const char *name, const GemEdgeResult *result, gsize offset)
{
  g_autofree double *values = g_new(double, result->n_domains);
  guint i;

  for (i = 0; i < result->n_domains; i++) {
    values[i] = G_STRUCT_MEMBER(double, &result->domains[i], offset);
  }
  gem_edge_json_add_numbers(builder, name, values, result->n_domains);
}

static void
add_normalised(JsonBuilder *builder, const GemEdgeResult *result)
{
  guint n = result->n_domains;

  if (result->specialist == NULL) {
    gem_edge_json_add_null(builder, "f1_normalised");
    gem_edge_json_add_null(builder, "cdtr_normalised");
    gem_edge_json_add_null(builder, "gg_normalised");
    gem_edge_json_add_null(builder, "dsi_normalised");
    return;
  }
  add_matrix(builder, "f1_normalised", result->matrix_normalised, n + 1, n);
  add_ratios(builder, "cdtr_normalised", result->matrix_normalised, n);
  add_by_domain(builder, "gg_normalised", result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced_normalised.gg));
  add_by_domain(builder, "dsi_normalised", result,
                G_STRUCT_OFFSET(GemEdgeDomainResult, forced_normalised.dsi));
}

void
gem_edge_json_add_transfer(JsonBuilder *builder, const GemEdgeResult *result)
{
  guint i, n = result->n_domains;

  if (!result->has_transfer) {
    gem_edge_json_add_null(builder, "transfer");
    return;
  }
  gem_edge_json_begin(builder, "transfer");
  gem_bench_json_add_count(builder, "limit", result->plan->transfer_limit);
  json_builder_set_member_name(builder, "pathways");
  json_builder_begin_array(builder);
  for (i = 0; i <= n; i++) {
    json_builder_add_string_value(builder, gem_edge_plan_get_pathway(result->plan, (gint)i));
  }
  json_builder_end_array(builder);
  add_matrix(builder, "f1", result->matrix, n + 1, n);
  add_ratios(builder, "cdtr", result->matrix, n);
  add_by_domain(builder, "in", result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.in));
  add_by_domain(builder, "out", result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.out));
  add_by_domain(builder, "gg", result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.gg));
  add_by_domain(builder, "gap_same_tasks", result, G_STRUCT_OFFSET(GemEdgeDomainResult, same.gg));
  add_by_domain(builder, "dsi", result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.dsi));
  add_normalised(builder, result);
  gem_bench_json_end_entry(builder);
}
