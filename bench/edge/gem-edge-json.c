#include <math.h>

#include "bench/edge/gem-edge-json-private.h"
#include "bench/gem-bench-machine.h"

#define FORMAT 1

void
gem_edge_json_add_score(JsonBuilder *builder, const char *name, GemEdgeScore score)
{
  gem_edge_json_begin(builder, name);
  gem_bench_json_add_double(builder, "value", score.value);
  gem_bench_json_add_double(builder, "standard_error", score.standard_error);
  gem_bench_json_end_entry(builder);
}

void
gem_edge_json_add_null(JsonBuilder *builder, const char *name)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_null_value(builder);
}

void
gem_edge_json_add_text(JsonBuilder *builder, const char *name, const char *text)
{
  if (text == NULL) {
    gem_edge_json_add_null(builder, name);
  } else {
    gem_bench_json_add_string(builder, name, text);
  }
}

void
gem_edge_json_add_boolean(JsonBuilder *builder, const char *name, gboolean value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_boolean_value(builder, value);
}

void
gem_edge_json_add_numbers(JsonBuilder *builder, const char *name, const double *values, guint n)
{
  guint i;

  if (name != NULL) {
    json_builder_set_member_name(builder, name);
  }
  json_builder_begin_array(builder);
  for (i = 0; i < n; i++) {
    if (isfinite(values[i])) {
      json_builder_add_double_value(builder, values[i]);
    } else {
      json_builder_add_null_value(builder);
    }
  }
  json_builder_end_array(builder);
}

void
gem_edge_json_begin(JsonBuilder *builder, const char *name)
{
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
}

/* Bytes and counters: what is not told is null. */
static void
add_told(JsonBuilder *builder, const char *name, gint64 value, gboolean told)
{
  if (told) {
    gem_bench_json_add_count(builder, name, (guint64)value);
  } else {
    gem_edge_json_add_null(builder, name);
  }
}

static void
add_run(JsonBuilder *builder, const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  g_autoptr(GDateTime) now = g_date_time_new_now_utc();
  g_autofree char *finished = g_date_time_format_iso8601(now);
  g_autofree char *machine = gem_bench_machine_describe();

  gem_edge_json_begin(builder, "run");
  gem_bench_json_add_string(builder, "model", info->model);
  gem_edge_json_add_text(builder, "model_digest", *info->digest == '\0' ? NULL : info->digest);
  gem_bench_json_add_string(builder, "version", info->version);
  gem_bench_json_add_string(builder, "machine", machine);
  gem_bench_json_add_string(builder, "way", info->way);
  gem_bench_json_add_string(builder, "split", info->split);
  gem_bench_json_add_count(builder, "seed", info->seed);
  gem_bench_json_add_count(builder, "limit", info->limit);
  gem_bench_json_add_count(builder, "transfer_limit", info->transfer_limit);
  gem_edge_json_add_text(builder, "specialist", result->specialist);
  gem_bench_json_add_string(builder, "finished", finished);
  gem_bench_json_add_double(builder, "seconds", result->seconds);
  gem_bench_json_add_count(builder, "calls", result->calls);
  add_told(builder, "tokens", result->tokens, result->tokens >= 0);
  gem_bench_json_end_entry(builder);
}

/* ---- domains ---- */

static void
add_domain_names(JsonBuilder *builder, const GemEdgeResult *result)
{
  guint i;

  json_builder_set_member_name(builder, "domains");
  json_builder_begin_array(builder);
  for (i = 0; i < result->n_domains; i++) {
    json_builder_add_string_value(builder, result->domains[i].name);
  }
  json_builder_end_array(builder);
}

static void
add_domains(JsonBuilder *builder, const GemEdgeResult *result)
{
  guint i;

  gem_bench_json_begin_list(builder, "per_domain");
  for (i = 0; i < result->n_domains; i++) {
    const GemEdgeDomainResult *domain = &result->domains[i];

    gem_bench_json_begin_entry(builder);
    gem_bench_json_add_string(builder, "domain", domain->name);
    gem_bench_json_add_count(builder, "tasks", domain->tasks);
    gem_edge_json_add_score(builder, "f1", domain->f1);
    gem_bench_json_add_double(builder, "chance", domain->chance);
    gem_bench_json_add_double(builder, "majority", domain->majority);
    gem_bench_json_add_double(builder, "linear", domain->linear);
    gem_bench_json_add_double(builder, "normalised", domain->normalised);
    gem_bench_json_add_double(builder, "gg_routed", domain->routed.gg);
    gem_bench_json_add_double(builder, "dsi_routed", domain->routed.dsi);
    gem_bench_json_add_double(builder, "gg_forced", domain->forced.gg);
    gem_bench_json_add_double(builder, "dsi_forced", domain->forced.dsi);
    gem_bench_json_add_double(builder, "gap_same_tasks", domain->same.gg);
    gem_bench_json_add_double(builder, "in", domain->forced.in);
    gem_bench_json_add_double(builder, "out", domain->forced.out);
    gem_bench_json_end_entry(builder);
  }
  gem_bench_json_end_list(builder);
}

static void
add_perplexity(JsonBuilder *builder, const GemEdgeResult *result)
{
  guint i;

  gem_bench_json_begin_list(builder, "perplexity");
  for (i = 0; i < result->n_domains; i++) {
    const GemEdgePerplexity *perplexity = &result->domains[i].perplexity;

    gem_bench_json_begin_entry(builder);
    gem_bench_json_add_string(builder, "domain", result->domains[i].name);
    gem_bench_json_add_double(builder, "routed", perplexity->routed);
    gem_bench_json_add_double(builder, "own", perplexity->own);
    gem_bench_json_add_double(builder, "others", perplexity->others);
    gem_bench_json_add_count(builder, "tokens", perplexity->tokens);
    gem_bench_json_add_count(builder, "texts", perplexity->texts);
    gem_bench_json_end_entry(builder);
  }
  gem_bench_json_end_list(builder);
}

/* ---- everything together ---- */

/* Names; null without a file of baselines. */
static void
add_without_linear(JsonBuilder *builder, const GemEdgeResult *result)
{
  g_autoptr(GPtrArray) names = gem_edge_result_list_without_linear(result);
  guint i;

  json_builder_set_member_name(builder, "without_linear");
  if (!result->has_baselines) {
    json_builder_add_null_value(builder);
    return;
  }
  json_builder_begin_array(builder);
  for (i = 0; i < names->len; i++) {
    json_builder_add_string_value(builder, names->pdata[i]);
  }
  json_builder_end_array(builder);
}

/* [low, median, high], or null. */
static void
add_interval(JsonBuilder *builder, const char *name, GemEdgeInterval interval)
{
  if (isfinite(interval.low)) {
    gem_edge_json_add_numbers(builder, name, (const double[]){interval.low, interval.median, interval.high},
                              3);
  } else {
    gem_edge_json_add_null(builder, name);
  }
}

static void
add_overall(JsonBuilder *builder, const GemEdgeResult *result)
{
  static const struct {
    const char *name;
    gsize offset;
  } means[] = {
      {"gg_forced", G_STRUCT_OFFSET(GemEdgeDomainResult, forced.gg)},
      {"gap_same_tasks", G_STRUCT_OFFSET(GemEdgeDomainResult, same.gg)},
      {"gg_routed", G_STRUCT_OFFSET(GemEdgeDomainResult, routed.gg)},
      {"dsi_forced", G_STRUCT_OFFSET(GemEdgeDomainResult, forced.dsi)},
      {"dsi_routed", G_STRUCT_OFFSET(GemEdgeDomainResult, routed.dsi)},
      {"gg_forced_normalised", G_STRUCT_OFFSET(GemEdgeDomainResult, forced_normalised.gg)},
      {"gg_routed_normalised", G_STRUCT_OFFSET(GemEdgeDomainResult, routed_normalised.gg)},
  };
  guint i, beating_linear = 0, beating_both = 0, linear = 0;

  for (i = 0; i < result->n_tasks; i++) {
    const GemEdgeTaskResult *task = &result->tasks[i];

    linear += !isnan(task->linear.accuracy);
    beating_linear += gem_edge_result_beats_linear(task, FALSE);
    beating_both += gem_edge_result_beats_linear(task, TRUE);
  }
  gem_edge_json_begin(builder, "overall");
  gem_bench_json_add_count(builder, "tasks", result->n_tasks);
  gem_edge_json_add_score(builder, "f1", result->f1);
  gem_bench_json_add_count(builder, "class_tasks", result->class_tasks);
  gem_bench_json_add_count(builder, "beating_majority", result->beating_majority);
  add_told(builder, "beating_linear", beating_linear, linear > 0);
  add_told(builder, "beating_linear_and_majority", beating_both, linear > 0);
  add_without_linear(builder, result);
  for (i = 0; i < G_N_ELEMENTS(means); i++) {
    gem_bench_json_add_double(builder, means[i].name, gem_edge_result_get_mean(result, means[i].offset));
  }
  add_interval(builder, "gg_forced_interval", result->gg_forced);
  add_interval(builder, "gap_same_tasks_interval", result->gap);
  gem_bench_json_end_entry(builder);
}

static void
add_costs(JsonBuilder *builder, const GemEdgeResult *result)
{
  const GemEdgeMemory *memory = &result->memory;

  gem_edge_json_begin(builder, "latency");
  gem_bench_json_add_double(builder, "query_p50", result->latency.query_p50);
  gem_bench_json_add_double(builder, "query_p95", result->latency.query_p95);
  gem_bench_json_add_double(builder, "token_p50", result->latency.token_p50);
  gem_bench_json_add_double(builder, "token_p95", result->latency.token_p95);
  gem_bench_json_end_entry(builder);
  gem_edge_json_begin(builder, "memory");
  gem_bench_json_add_count(builder, "resident_peak", memory->resident_peak);
  gem_bench_json_add_count(builder, "resident_active", memory->resident_active);
  add_told(builder, "process_peak", (gint64)memory->process_peak, memory->process_peak > 0);
  gem_bench_json_end_entry(builder);
  if (result->flop.general > 0) {
    gem_edge_json_begin(builder, "flop");
    gem_bench_json_add_double(builder, "token", gem_edge_result_get_flop(result));
    gem_bench_json_add_double(builder, "general", result->flop.general);
    gem_bench_json_add_double(builder, "pathway", result->flop.pathway);
    gem_bench_json_add_double(builder, "router", result->flop.router);
    gem_bench_json_add_double(builder, "routed_share", result->routed_share);
    gem_bench_json_add_string(builder, "formula", GEM_EDGE_FLOP_FORMULA);
    gem_bench_json_end_entry(builder);
  } else {
    gem_edge_json_add_null(builder, "flop");
  }
}

static void
add_told_costs(JsonBuilder *builder, const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  if (info->energy_absent == NULL && isfinite(result->joules)) {
    gem_edge_json_begin(builder, "energy");
    gem_bench_json_add_double(builder, "joules", result->joules);
    gem_bench_json_add_double(builder, "joules_per_token",
                              result->tokens > 0 ? result->joules / (double)result->tokens : NAN);
    gem_bench_json_add_double(builder, "watts", result->joules / result->seconds);
    gem_bench_json_add_string(builder, "source", "powercap intel-rapl, all packages, whatever ran on them");
    gem_bench_json_end_entry(builder);
    gem_edge_json_add_null(builder, "energy_absent");
  } else {
    gem_edge_json_add_null(builder, "energy");
    gem_bench_json_add_string(builder, "energy_absent",
                              info->energy_absent != NULL ? info->energy_absent
                                                          : "a part of the run could not be measured");
  }
  if (info->paging_absent == NULL && result->paging.page_ins >= 0) {
    gem_edge_json_begin(builder, "paging");
    gem_bench_json_add_count(builder, "page_ins", (guint64)result->paging.page_ins);
    gem_bench_json_add_count(builder, "page_in_failures", (guint64)result->paging.page_in_failures);
    gem_bench_json_add_count(builder, "degraded_tokens", (guint64)result->paging.degraded_tokens);
    gem_bench_json_end_entry(builder);
    gem_edge_json_add_null(builder, "paging_absent");
  } else {
    gem_edge_json_add_null(builder, "paging");
    gem_bench_json_add_string(builder, "paging_absent",
                              info->paging_absent != NULL ? info->paging_absent
                                                          : "a part of the run could not be measured");
  }
}

JsonNode *
gem_edge_json_build(const GemEdgeResult *result, const GemEdgeRunInfo *info)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  gem_bench_json_add_string(builder, "command", "edge");
  gem_bench_json_add_count(builder, "format", FORMAT);
  add_run(builder, result, info);
  add_domain_names(builder, result);
  gem_edge_json_add_tasks(builder, result, info->in_flight);
  add_domains(builder, result);
  add_overall(builder, result);
  gem_edge_json_add_transfer(builder, result);
  add_costs(builder, result);
  add_perplexity(builder, result);
  add_told_costs(builder, result, info);
  json_builder_end_object(builder);
  return json_builder_get_root(builder);
}
