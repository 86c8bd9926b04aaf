#include "bench/edge/gem-edge-table.h"

#include <math.h>

#include "bench/edge/gem-edge-transfer.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

/* "0.123", "-" for none. Transfer full. */
static char *
show(double value)
{
  return isfinite(value) ? g_strdup_printf("%.3f", value) : g_strdup("-");
}

static char *
show_thousandths(double value, int digits)
{
  return isfinite(value) ? g_strdup_printf("%.*f", digits, value * 1000) : g_strdup("-");
}

/* ---- tasks ---- */

static void
add_task(GemTable *table, const GemEdgeTaskResult *result)
{
  const GemEdgeTaskScore *score = &result->score;
  g_autofree char *n = g_strdup_printf("%u", score->fates[GEM_BENCH_USED]);
  g_autofree char *f1 = show(result->f1.value);
  g_autofree char *f1_error = show(result->f1.standard_error);
  g_autofree char *accuracy = show(gem_edge_score_get_accuracy(result->task, score));
  g_autofree char *chance = show(score->chance_accuracy);
  g_autofree char *majority = show(score->majority_accuracy);
  g_autofree char *linear = show(result->linear.accuracy);
  g_autofree char *query = show_thousandths(result->latency.query_p50, 1);
  gboolean beats = gem_edge_score_beats(gem_edge_score_get_accuracy(result->task, score),
                                        gem_edge_score_get_baseline(score), score->fates[GEM_BENCH_USED]);

  gem_table_add(table, -1,
                (const char *const[]){result->task->full, n,
                                      gem_edge_metric_name(gem_edge_form_metric(result->task->form)), f1,
                                      f1_error, accuracy, chance, majority, linear,
                                      !result->task->has_classes ? "" : (beats ? "yes" : "no"), query});
}

static void
print_without_linear(const GemEdgeResult *result)
{
  g_autoptr(GPtrArray) names = gem_edge_result_list_without_linear(result);
  guint i;

  for (i = 0; i < names->len; i++) {
    gem_output_printf("%s%s", i == 0 ? "no linear baseline for: " : ", ", (const char *)names->pdata[i]);
  }
  if (names->len > 0) {
    gem_output_printf("\n");
  }
}

static void
print_tasks(const GemEdgeResult *result)
{
  static const char *const headings[] = {"task",       "n",        "score is",   "F1",
                                         "error",      "accuracy", "acc chance", "acc majority",
                                         "acc linear", "beats",    "query ms",   NULL};
  g_autoptr(GemTable) table = gem_table_new("lrlrrrrrrlr", headings);
  guint i;

  for (i = 0; i < result->n_tasks; i++) {
    add_task(table, &result->tasks[i]);
  }
  gem_table_print(table);
  for (i = 0; i < result->n_tasks; i++) {
    g_autofree char *skipped = gem_bench_fates_describe_skipped(result->tasks[i].score.fates);

    if (skipped != NULL) {
      gem_output_printf("skipped of %s: %s\n", result->tasks[i].task->full, skipped);
    }
  }
  print_without_linear(result);
}

/* ---- domains ---- */

static void
add_domain(GemTable *table, const GemEdgeDomainResult *domain)
{
  g_autofree char *tasks = g_strdup_printf("%u", domain->tasks);
  g_autofree char *f1 = show(domain->f1.value);
  g_autofree char *f1_error = show(domain->f1.standard_error);
  g_autofree char *chance = show(domain->chance);
  g_autofree char *gg_routed = show(domain->routed.gg);
  g_autofree char *in = show(domain->forced.in);
  g_autofree char *out = show(domain->forced.out);
  g_autofree char *gg = show(domain->forced.gg);
  g_autofree char *same = show(domain->same.gg);
  g_autofree char *dsi = show(domain->forced.dsi);
  g_autofree char *normalised = show(domain->forced_normalised.gg);
  g_autofree char *routed = show(domain->perplexity.routed);
  g_autofree char *own = show(domain->perplexity.own);
  g_autofree char *others = show(domain->perplexity.others);

  gem_table_add(table, -1,
                (const char *const[]){domain->name, tasks, f1, f1_error, chance, gg_routed, in, out, gg, same,
                                      dsi, normalised, routed, own, others});
}

static void
print_domains(const GemEdgeResult *result)
{
  static const char *const headings[] = {
      "domain", "tasks",      "F1",  "error",     "chance", "GG routed", "in",         "out",
      "GG",     "same tasks", "DSI", "GG scaled", "ppl",    "ppl own",   "ppl others", NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrrrrrrrrrrrr", headings);
  guint i;

  for (i = 0; i < result->n_domains; i++) {
    add_domain(table, &result->domains[i]);
  }
  gem_output_printf("\n");
  gem_table_print(table);
}

/* A row for each of the first `rows` pathways. */
static void
print_matrix(const GemEdgeResult *result, const double *matrix, guint rows)
{
  guint n = result->n_domains, i, j;
  g_autoptr(GPtrArray) headings = g_ptr_array_new();
  g_autofree char *alignment = g_strnfill(n + 1, 'r');
  g_autoptr(GemTable) table = NULL;

  alignment[0] = 'l';
  g_ptr_array_add(headings, (gpointer) "pathway");
  for (i = 0; i < n; i++) {
    g_ptr_array_add(headings, (gpointer)result->domains[i].name);
  }
  g_ptr_array_add(headings, NULL);
  table = gem_table_new(alignment, (const char *const *)headings->pdata);
  for (i = 0; i < rows; i++) {
    g_autoptr(GPtrArray) cells = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(cells, g_strdup(gem_edge_plan_get_pathway(result->plan, (gint)i)));
    for (j = 0; j < n; j++) {
      g_ptr_array_add(cells, show(matrix[i * n + j]));
    }
    gem_table_add(table, -1, (const char *const *)cells->pdata);
  }
  gem_table_print(table);
}

/* The mean over domains of a figure, with its interval where there is one. Transfer full. */
static char *
show_mean(const GemEdgeResult *result, gsize offset, GemEdgeInterval interval)
{
  g_autofree char *mean = show(gem_edge_result_get_mean(result, offset));

  return isfinite(interval.low)
             ? g_strdup_printf("%s (%.3f, %.3f to %.3f)", mean, interval.median, interval.low, interval.high)
             : g_steal_pointer(&mean);
}

static void
print_transfer(const GemEdgeResult *result)
{
  guint n = result->n_domains;
  g_autofree double *ratios = gem_edge_transfer_ratios(result->matrix, n);
  g_autofree char *gg = show_mean(result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.gg), result->gg_forced);
  g_autofree char *dsi =
      show(gem_edge_result_get_mean(result, G_STRUCT_OFFSET(GemEdgeDomainResult, forced.dsi)));
  g_autofree char *gap = show_mean(result, G_STRUCT_OFFSET(GemEdgeDomainResult, same.gg), result->gap);

  gem_output_printf(
      "mean over domains: GG forced %s, DSI forced %s, gap on the same tasks %s%s\n", gg, dsi, gap,
      isfinite(result->gg_forced.low) ? "; in brackets with tasks drawn anew: median, and where 95 % are"
                                      : "");
  gem_output_printf(
      "\nF1 on each domain's tasks with every token forced through one pathway, %u lines a task:\n",
      result->plan->transfer_limit);
  print_matrix(result, result->matrix, n + 1);
  gem_output_printf("\nCDTR, that F1 divided by the pathway's in its own domain:\n");
  print_matrix(result, ratios, n);
}

/* ---- the rest ---- */

static void
print_latency(const GemEdgeLatency *latency, guint in_flight)
{
  g_autofree char *query_p50 = show_thousandths(latency->query_p50, 1);
  g_autofree char *query_p95 = show_thousandths(latency->query_p95, 1);
  g_autofree char *token_p50 = show_thousandths(latency->token_p50, 2);
  g_autofree char *token_p95 = show_thousandths(latency->token_p95, 2);

  gem_output_printf("\na query: p50 %s ms, p95 %s ms, %u in flight; a written token: p50 %s ms, p95 %s ms\n",
                    query_p50, query_p95, in_flight, token_p50, token_p95);
}

/* What the machine or the service may not tell. */
static void
print_told(const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  g_autofree char *token =
      show_thousandths(result->tokens > 0 ? result->joules / (double)result->tokens : NAN, 3);

  if (info->energy_absent == NULL && isfinite(result->joules)) {
    gem_output_printf("energy: %.1f J, %s mJ a token, %.2f W, all of the machine's packages\n",
                      result->joules, token, result->joules / result->seconds);
  } else {
    gem_output_printf("energy: absent, %s\n", info->energy_absent != NULL ? info->energy_absent : "not told");
  }
  if (info->paging_absent == NULL && result->paging.page_ins >= 0) {
    gem_output_printf("page-ins: %" G_GINT64_FORMAT ", of which %" G_GINT64_FORMAT " failed\n",
                      result->paging.page_ins, result->paging.page_in_failures);
  } else {
    gem_output_printf("page-ins: absent, %s\n",
                      info->paging_absent != NULL ? info->paging_absent : "not told");
  }
}

static void
print_costs(const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  print_latency(&result->latency, info->in_flight);
  gem_output_printf("memory: weights and caches %.1f MB, %.1f MB at most; process %.1f MB at most\n",
                    (double)result->memory.resident_active / 1e6, (double)result->memory.resident_peak / 1e6,
                    (double)result->memory.process_peak / 1e6);
  if (result->flop.general > 0) {
    gem_output_printf(
        "a token: %.2f MFLOP (general %.2f, router %.2f, a pathway %.2f; %.3f of the tokens have one)\n",
        gem_edge_result_get_flop(result) / 1e6, result->flop.general / 1e6, result->flop.router / 1e6,
        result->flop.pathway / 1e6, result->routed_share);
  } else {
    gem_output_printf("FLOP: not counted, --model DIR tells the shape\n");
  }
  print_told(result, info);
}

void
gem_edge_table_print(const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  g_autofree char *f1 = show(result->f1.value);
  g_autofree char *error = show(result->f1.standard_error);

  gem_output_printf("%s, gemd %s, %s; %s lines, seed %u\n", info->model, info->version,
                    g_str_equal(info->way, "bus") ? "through the bus" : "in this process", info->split,
                    info->seed);
  print_tasks(result);
  print_domains(result);
  if (result->has_transfer) {
    print_transfer(result);
  }
  print_costs(result, info);
  gem_output_printf(
      "F1 over %u tasks: %s, error %s; %u of %u tasks with classes are more often right than the most "
      "frequent label, or chance, by two standard errors\n",
      result->n_tasks, f1, error, result->beating_majority, result->class_tasks);
}
