#include "bench/edge/gem-edge-result.h"

#include <math.h>
#include <string.h>

#include "bench/edge/gem-edge-result-private.h"
#include "bench/edge/gem-edge-transfer.h"
#include "bench/gem-bench-statistics.h"

/* ---- time and memory ---- */

static double
quantile(const GArray *values, double p)
{
  return gem_bench_quantile((const double *)(gconstpointer)values->data, values->len, p);
}

/* Of the answers in `items`, all tasks' or one's. */
static void
measure_latency(const GPtrArray *items, GemEdgeLatency *ret_latency)
{
  g_autoptr(GArray) queries = g_array_new(FALSE, FALSE, sizeof(double));
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(double));
  guint i;

  for (i = 0; i < items->len; i++) {
    const GemEdgeReply *reply = &((const GemEdgeItem *)items->pdata[i])->reply;

    if (reply->fate != GEM_BENCH_USED) {
      continue;
    }
    g_array_append_val(queries, reply->seconds);
    if (reply->written > 0) {
      double token = reply->write_seconds / reply->written;

      g_array_append_val(tokens, token);
    }
  }
  *ret_latency = (GemEdgeLatency){
      .query_p50 = quantile(queries, 0.5),
      .query_p95 = quantile(queries, 0.95),
      .token_p50 = quantile(tokens, 0.5),
      .token_p95 = quantile(tokens, 0.95),
  };
}

static gint64
add_counted(gint64 sum, gint64 more)
{
  return sum < 0 || more < 0 ? -1 : sum + more;
}

static void
sum_samples(GemEdgeResult *self, const GArray *samples)
{
  g_autoptr(GArray) resident = g_array_new(FALSE, FALSE, sizeof(double));
  guint i;

  self->paging = (GemEdgePaging){0};
  self->tokens = 0;
  self->joules = samples->len == 0 ? NAN : 0;
  for (i = 0; i < samples->len; i++) {
    const GemEdgeSample *sample = &g_array_index(samples, GemEdgeSample, i);
    double bytes = (double)sample->resident;

    self->seconds += sample->seconds;
    self->joules += sample->joules;
    self->memory.resident_peak = MAX(self->memory.resident_peak, sample->resident);
    self->memory.process_peak = MAX(self->memory.process_peak, sample->process);
    self->paging.page_ins = add_counted(self->paging.page_ins, sample->page_ins);
    self->paging.page_in_failures = add_counted(self->paging.page_in_failures, sample->page_in_failures);
    self->paging.degraded_tokens = add_counted(self->paging.degraded_tokens, sample->degraded_tokens);
    self->tokens = add_counted(self->tokens, sample->tokens);
    g_array_append_val(resident, bytes);
  }
  self->memory.resident_active =
      samples->len == 0
          ? 0
          : (guint64)gem_bench_median((const double *)(gconstpointer)resident->data, resident->len);
}

/* Calls, and the share of tokens that the router sends to a domain. */
static void
sum_items(GemEdgeResult *self)
{
  guint64 routed = 0, looked_at = 0;
  guint i;

  for (i = 0; i < self->plan->items->len; i++) {
    const GemEdgeItem *item = &g_array_index(self->plan->items, GemEdgeItem, i);

    self->calls += item->done;
    if (!item->done || item->reply.fate != GEM_BENCH_USED) {
      continue;
    }
    if (item->kind == GEM_EDGE_ROUTE) {
      routed += item->reply.routed;
      looked_at += item->reply.tokens;
    }
  }
  self->routed_share = looked_at == 0 ? NAN : (double)routed / (double)looked_at;
}

/* ---- tasks ---- */

static void
judge_task(GemEdgeResult *self, guint index, const GemEdgeScale *scale)
{
  GemEdgeTaskResult *result = &self->tasks[index];
  g_autoptr(GPtrArray) items = gem_edge_plan_select(self->plan, index, GEM_EDGE_ROUTED, FALSE);
  const GemEdgeTask *task = self->plan->suite->tasks->pdata[index];
  guint i;

  result->task = task;
  result->linear = gem_edge_baselines_get(scale->baselines, task->full);
  result->in = result->out = NAN;
  gem_edge_score_task(task, items, &result->score);
  for (i = 0; i < task->fates->len; i++) {
    GemBenchFate fate = g_array_index(task->fates, GemBenchFate, i);

    result->score.fates[fate] += fate != GEM_BENCH_USED; /* never asked */
  }
  result->f1 = gem_edge_score_get_f1(task, &result->score);
  result->specialist = gem_edge_specialist_get(scale->specialist, task->full);
  result->normalised =
      gem_edge_on_scale(result->f1.value, result->score.chance_f1,
                        gem_edge_specialist_top(result->specialist, result->score.chance_f1));
  measure_latency(items, &result->latency);
  if (task->has_classes) {
    self->class_tasks++;
    self->beating_majority += gem_edge_score_beats(gem_edge_score_get_accuracy(task, &result->score),
                                                   gem_edge_score_get_baseline(&result->score),
                                                   result->score.fates[GEM_BENCH_USED]);
  }
}

/* ---- domains ---- */

static void
judge_domain(GemEdgeResult *self, guint domain)
{
  GemEdgeDomainResult *result = &self->domains[domain];
  g_autofree GemEdgeScore *f1 = g_new(GemEdgeScore, self->n_tasks);
  g_autofree double *figures = g_new(double, 4 * (gsize)self->n_tasks);
  double *chance = figures, *majority = figures + self->n_tasks, *normalised = majority + self->n_tasks;
  double *linear = normalised + self->n_tasks;
  guint i, n = 0;

  for (i = 0; i < self->n_tasks; i++) {
    const GemEdgeTaskResult *task = &self->tasks[i];

    if (task->task->n_domain == domain) {
      f1[n] = task->f1;
      chance[n] = task->score.chance_f1;
      majority[n] = task->task->form == GEM_EDGE_CHOICE ? task->score.majority_f1 : NAN;
      normalised[n] = task->normalised;
      linear[n] = task->linear.f1;
      n++;
    }
  }
  result->name = self->plan->suite->domains->pdata[domain];
  result->tasks = n;
  result->f1 = gem_edge_score_combine(f1, n);
  result->chance = gem_edge_mean(chance, n);
  result->majority = gem_edge_mean(majority, n);
  result->normalised = gem_edge_mean(normalised, n);
  result->linear = gem_edge_mean(linear, n);
}

GemEdgeSpan
gem_edge_span(const double *row, guint n, guint own)
{
  g_autofree double *others = g_new(double, n);
  guint i, n_others = 0;
  GemEdgeSpan span = {.in = row[own]};

  for (i = 0; i < n; i++) {
    if (i != own) {
      others[n_others++] = row[i];
    }
  }
  span.out = gem_edge_mean(others, n_others);
  span.gg = gem_edge_generality_gap(span.in, span.out);
  span.dsi = gem_edge_specialisation(span.in, others, n_others);
  return span;
}

/* The service's own scores, each domain's against those of the others. */
static void
span_routed(GemEdgeResult *self)
{
  g_autofree double *raw = g_new(double, self->n_domains);
  g_autofree double *normalised = g_new(double, self->n_domains);
  guint i;

  for (i = 0; i < self->n_domains; i++) {
    raw[i] = self->domains[i].f1.value;
    normalised[i] = self->domains[i].normalised;
  }
  for (i = 0; i < self->n_domains; i++) {
    self->domains[i].routed = gem_edge_span(raw, self->n_domains, i);
    self->domains[i].routed_normalised = gem_edge_span(normalised, self->n_domains, i);
  }
}

static void
judge_all(GemEdgeResult *self, const GemEdgeScale *scale)
{
  g_autofree GemEdgeScore *f1 = g_new(GemEdgeScore, self->n_tasks);
  g_autoptr(GPtrArray) routed = g_ptr_array_new();
  guint i;

  for (i = 0; i < self->n_tasks; i++) {
    judge_task(self, i, scale);
    f1[i] = self->tasks[i].f1;
  }
  self->f1 = gem_edge_score_combine(f1, self->n_tasks);
  for (i = 0; i < self->n_domains; i++) {
    judge_domain(self, i);
  }
  for (i = 0; i < self->plan->items->len; i++) {
    GemEdgeItem *item = &g_array_index(self->plan->items, GemEdgeItem, i);

    if (item->done && item->pathway == GEM_EDGE_ROUTED && item->kind <= GEM_EDGE_WRITE) {
      g_ptr_array_add(routed, item);
    }
  }
  measure_latency(routed, &self->latency);
}

GemEdgeResult *
gem_edge_result_new(const GemEdgePlan *plan, const GArray *samples, const GemEdgeScale *scale)
{
  GemEdgeResult *self = g_new0(GemEdgeResult, 1);

  self->plan = plan;
  self->n_tasks = plan->suite->tasks->len;
  self->n_domains = plan->suite->domains->len;
  self->tasks = g_new0(GemEdgeTaskResult, self->n_tasks);
  self->domains = g_new0(GemEdgeDomainResult, self->n_domains);
  self->has_transfer = plan->transfer_limit > 0;
  self->has_baselines = scale->baselines != NULL;
  self->specialist = scale->specialist == NULL ? NULL : g_strdup(scale->specialist->model);
  if (scale->flop != NULL) {
    self->flop = *scale->flop;
  }
  judge_all(self, scale);
  span_routed(self);
  gem_edge_result_force(self);
  gem_edge_result_read(self);
  sum_samples(self, samples);
  sum_items(self);
  return self;
}

void
gem_edge_result_free(GemEdgeResult *self)
{
  guint i;

  for (i = 0; i < self->n_tasks; i++) {
    g_free(self->tasks[i].pathways);
  }
  g_free(self->tasks);
  g_free(self->domains);
  g_free(self->matrix);
  g_free(self->matrix_normalised);
  g_free(self->specialist);
  g_free(self);
}

gboolean
gem_edge_result_beats_linear(const GemEdgeTaskResult *result, gboolean and_majority)
{
  double accuracy = gem_edge_score_get_accuracy(result->task, &result->score);
  guint n = result->score.fates[GEM_BENCH_USED];

  return gem_edge_score_beats_model(accuracy, result->linear.accuracy, n) &&
         (!and_majority || gem_edge_score_beats(accuracy, gem_edge_score_get_baseline(&result->score), n));
}

GPtrArray *
gem_edge_result_list_without_linear(const GemEdgeResult *self)
{
  GPtrArray *names = g_ptr_array_new();
  guint i;

  for (i = 0; self->has_baselines && i < self->n_tasks; i++) {
    const GemEdgeTaskResult *result = &self->tasks[i];

    if (result->task->has_classes && isnan(result->linear.accuracy)) {
      g_ptr_array_add(names, result->task->full);
    }
  }
  return names;
}

double
gem_edge_result_get_mean(const GemEdgeResult *self, gsize offset)
{
  g_autofree double *values = g_new(double, self->n_domains);
  guint i;

  for (i = 0; i < self->n_domains; i++) {
    values[i] = G_STRUCT_MEMBER(double, &self->domains[i], offset);
  }
  return gem_edge_mean(values, self->n_domains);
}

double
gem_edge_result_get_flop(const GemEdgeResult *self)
{
  return self->flop.general > 0
             ? self->flop.general + self->flop.router +
                   (isnan(self->routed_share) ? 0 : self->routed_share) * self->flop.pathway
             : NAN;
}
