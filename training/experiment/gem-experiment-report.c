/* The tables of an experiment, from its stages' files. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "training/experiment/gem-experiment-runs.h"
#include "training/experiment/gem-result-json.h"
#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-score.h"

#define RESAMPLES 1000

static const struct {
  const char *name, *member, *what;
} measures[] = {
    [GEM_FORGETTING_BEST] = {"best earlier", "forgetting", "the definition"},
    [GEM_FORGETTING_CROSSED] = {"cross-fitted", "forgetting_crossed",
                                "the best earlier stage chosen on half of the items, scored on the other"},
    [GEM_FORGETTING_POOLED] = {"pooled", "forgetting_pooled", "what tasks lost together over what they had"},
    [GEM_FORGETTING_OWN] = {"own stage on", "forgetting_own",
                            "the best score since the task's own domain was adapted"},
};

/* ---- JSON ---- */

static void
add_count(JsonBuilder *builder, const char *name, guint value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, value);
}

static void
add_figure(JsonBuilder *builder, const GemForgettingFigure *figure)
{
  gem_result_json_add_member(builder, "mean", figure->mean);
  gem_result_json_add_member(builder, "low", figure->low);
  gem_result_json_add_member(builder, "high", figure->high);
}

/* An object of a figure, or null. */
static void
add_figure_member(JsonBuilder *builder, const char *name, const GemForgettingFigure *figure)
{
  json_builder_set_member_name(builder, name);
  if (figure != NULL) {
    json_builder_begin_object(builder);
    add_figure(builder, figure);
    json_builder_end_object(builder);
  } else {
    json_builder_add_null_value(builder);
  }
}

/* ---- scores ---- */

/* Mean accuracy over tasks and seeds: at the start, right after the own domain's stage, at the end. */
static void
mean_scores(const GemExperimentRuns *runs, double *scores)
{
  guint n = runs->n_seeds * runs->n_tasks;
  memset(scores, 0, 3 * sizeof(double));
  for (guint i = 0; i < n; i++) {
    const GemForgettingTask *task = &runs->tasks[i];
    const guint at[] = {0, task->adapted, runs->stages};
    for (guint s = 0; s < 3; s++) {
      scores[s] += gem_forgetting_score(task, at[s], NULL) / (double)n;
    }
  }
}

static double
f1_of(const GemVariantScore *score)
{
  return gem_variant_score_mean_f1(score, NULL);
}

static double
gg_of(const GemVariantScore *score)
{
  return gem_variant_score_gg(score, FALSE, NULL);
}

static double
gg_forced_of(const GemVariantScore *score)
{
  return gem_variant_score_gg(score, TRUE, NULL);
}

static double
gap_of(const GemVariantScore *score)
{
  return gem_variant_score_gap(score, NULL);
}

/* What is told of the last stage, by seed. */
static const struct {
  const char *title, *member;
  double (*of)(const GemVariantScore *score);
} last[] = {{"F1 at the end", "f1_end", f1_of},
            {"GG at the end", "gg_end", gg_of},
            {"gap", "gap_end", gap_of},
            {"GG forced", "gg_forced_end", gg_forced_of}};

static void
report_last(JsonBuilder *builder, const GemExperimentRuns *runs)
{
  for (guint figure = 0; figure < G_N_ELEMENTS(last); figure++) {
    double sum = 0.0, squares = 0.0, n = runs->scores->len;
    json_builder_set_member_name(builder, last[figure].member);
    json_builder_begin_array(builder);
    for (guint i = 0; i < runs->scores->len; i++) {
      double value = last[figure].of(runs->scores->pdata[i]);
      sum += value;
      squares += value * value;
      gem_result_json_add_value(builder, value);
    }
    json_builder_end_array(builder);
    double spread = n > 1.0 ? sqrt(MAX(squares - sum * sum / n, 0.0) / (n - 1.0)) : 0.0;
    if (isfinite(sum)) {
      g_print("  %+.3f ± %.3f", sum / n, spread);
    } else {
      g_print("  %14s", "-");
    }
  }
}

/* What the network needs at the end: means over seeds. */
static void
report_costs(JsonBuilder *builder, const GemExperimentRuns *runs)
{
  const char *const names[] = {"bytes", "active_bytes", "flop"};
  double sums[G_N_ELEMENTS(names)] = {0};
  for (guint i = 0; i < runs->costs->len; i++) {
    const GemVariantCosts *costs = &g_array_index(runs->costs, GemVariantCosts, i);
    const double values[] = {costs->bytes, costs->active_bytes, costs->flop};
    for (guint c = 0; c < G_N_ELEMENTS(names); c++) {
      sums[c] += values[c] / runs->costs->len;
    }
  }
  for (guint c = 0; c < G_N_ELEMENTS(names); c++) {
    gem_result_json_add_member(builder, names[c], sums[c]);
    if (isfinite(sums[c])) {
      g_print(" %7.2f", sums[c] / 1e6);
    } else {
      g_print(" %7s", "-");
    }
  }
}

/* What the router's rows took of other domains' text, mean over stages and seeds. */
static void
report_row(JsonBuilder *builder, const GemExperimentRuns *runs)
{
  double sum = 0.0;
  for (guint i = 0; i < runs->row_lost->len; i++) {
    sum += g_array_index(runs->row_lost, double, i);
  }
  double mean = runs->row_lost->len > 0 ? sum / runs->row_lost->len : NAN;
  gem_result_json_add_member(builder, "row_lost_share", mean);
  if (isfinite(mean)) {
    g_print("  %6.2f %%", 100.0 * mean);
  } else {
    g_print("  %8s", "-");
  }
}

static void
print_scores_head(void)
{
  g_print("%-22s %8s %8s %8s", "variation", "start", "learned", "end");
  for (guint figure = 0; figure < G_N_ELEMENTS(last); figure++) {
    g_print("  %-14s", last[figure].title);
  }
  g_print(" %7s %7s %7s  %s\n", "MB", "active", "MFLOP", "lost to the row");
}

static void
report_scores(JsonBuilder *builder, const char *name, const GemExperimentRuns *runs)
{
  const char *const when[] = {"accuracy_start", "accuracy_learned", "accuracy_end"};
  double scores[3];
  mean_scores(runs, scores);
  g_print("%-22s", name);
  for (guint s = 0; s < 3; s++) {
    gem_result_json_add_member(builder, when[s], scores[s]);
    g_print(" %8.3f", scores[s]);
  }
  report_last(builder, runs);
  report_costs(builder, runs);
  report_row(builder, runs);
  g_print("\n");
}

/* ---- forgetting ---- */

/* By seed: over the tasks that count in that run, and, with `first`, in that of the same seed. */
static void
add_seeds(JsonBuilder *builder,
          const GemExperimentRuns *runs,
          const GemExperimentRuns *first,
          GemForgettingMeasure measure,
          gboolean reduction,
          GString *line)
{
  json_builder_set_member_name(builder, reduction ? "reduction_seeds" : "seeds");
  json_builder_begin_array(builder);
  for (guint seed = 0; seed < runs->n_seeds; seed++) {
    GemForgettingRuns own = gem_experiment_runs_seed(runs, seed), other = {0};
    GemForgettingComparison compared;
    if (reduction) {
      other = gem_experiment_runs_seed(first, seed);
    }
    gem_forgetting_compare(&own, reduction ? &other : NULL, measure, GEM_FORGETTING_ITEMS, 0, 1, &compared);
    gboolean known = reduction ? compared.has_reduction : isfinite(compared.forgetting.mean);
    double value = reduction ? compared.reduction.mean : compared.forgetting.mean;
    gem_result_json_add_value(builder, known ? value : NAN);
    if (known) {
      g_string_append_printf(line, " %+.3f", value);
    } else {
      g_string_append(line, " -");
    }
  }
  json_builder_end_array(builder);
}

static void
print_figure(const GemForgettingFigure *figure)
{
  if (isfinite(figure->mean)) {
    g_print("  %+7.3f [%+.3f, %+.3f]", figure->mean, figure->low, figure->high);
  } else {
    g_print("  %25s", "-");
  }
}

static void
report_compared(JsonBuilder *builder,
                const GemExperimentRuns *runs,
                const GemExperimentRuns *first,
                GemForgettingMeasure measure,
                GString *seeds)
{
  const GemForgettingRuns own = gem_experiment_runs_all(runs), other = gem_experiment_runs_all(first);
  GemForgettingComparison compared;
  gem_forgetting_compare(&own, &other, measure, GEM_FORGETTING_ITEMS, RESAMPLES, 1, &compared);
  add_figure_member(builder, "difference", &compared.difference);
  add_figure_member(builder, "reduction", compared.has_reduction ? &compared.reduction : NULL);
  add_count(builder, "tasks_shared", compared.counted);
  print_figure(&compared.difference);
  if (compared.has_reduction) {
    print_figure(&compared.reduction);
    g_string_append(seeds, "; reduction");
    add_seeds(builder, runs, first, measure, TRUE, seeds);
  } else {
    g_print("  %25s", "-");
  }
  g_print(" %5u", compared.counted);
}

/* What the reduction is made of, and what other tasks would have said. */
static void
report_shared(JsonBuilder *builder,
              const GemExperimentRuns *runs,
              const GemExperimentRuns *first,
              GemForgettingMeasure measure)
{
  const GemForgettingRuns own = gem_experiment_runs_all(runs), other = gem_experiment_runs_all(first);
  GemForgettingComparison compared;
  gem_forgetting_compare(&own, &other, measure, GEM_FORGETTING_TASKS, RESAMPLES, 1, &compared);
  gem_result_json_add_member(builder, "shared", compared.forgetting.mean);
  gem_result_json_add_member(builder, "shared_against", compared.others.mean);
  add_figure_member(builder, "difference_tasks", &compared.difference);
  add_figure_member(builder, "reduction_tasks", compared.has_reduction ? &compared.reduction : NULL);
  g_print("%-22s %-12s  %+7.3f where the other forgets %+.3f; tasks drawn anew:", "", "  shared",
          compared.forgetting.mean, compared.others.mean);
  print_figure(&compared.difference);
  if (compared.has_reduction) {
    print_figure(&compared.reduction);
  }
  g_print("\n");
}

static void
report_measure(JsonBuilder *builder,
               const char *name,
               const GemExperimentRuns *runs,
               const char *against,
               const GemExperimentRuns *first,
               GemForgettingMeasure measure)
{
  const GemForgettingRuns own = gem_experiment_runs_all(runs);
  g_autoptr(GString) seeds = g_string_new("forgetting");
  GemForgettingComparison alone;
  gem_forgetting_compare(&own, NULL, measure, GEM_FORGETTING_ITEMS, RESAMPLES, 1, &alone);
  json_builder_set_member_name(builder, measures[measure].member);
  json_builder_begin_object(builder);
  add_figure(builder, &alone.forgetting);
  add_count(builder, "tasks", alone.counted);
  add_seeds(builder, runs, NULL, measure, FALSE, seeds);
  g_print("%-22s %-12s", name, measures[measure].name);
  print_figure(&alone.forgetting);
  g_print(" %5u", alone.counted);
  if (first != NULL) {
    json_builder_set_member_name(builder, "against");
    json_builder_add_string_value(builder, against);
    g_print("  %-10s", against);
    report_compared(builder, runs, first, measure, seeds);
  } else {
    g_print("  %-10s  %25s  %25s %5s", "", "", "", "");
  }
  g_print("  %s\n", seeds->str);
  if (first != NULL) {
    report_shared(builder, runs, first, measure);
  }
  json_builder_end_object(builder);
}

static void
print_forgetting_head(void)
{
  g_print("\nForgetting, with 95 %% of the resamples of items, and by seed:\n");
  for (guint m = 0; m < GEM_FORGETTING_MEASURES; m++) {
    g_print("  %-12s  %s\n", measures[m].name, measures[m].what);
  }
  g_print(
      "The difference is that of another variation less this one's; the reduction is 1 - this one's / that,\n"
      "where that is clearly above 0. Both are over the tasks that count in both variations: the line below\n"
      "has what these forget, and the two with 95 %% of the resamples of tasks in place of items.\n");
  g_print("%-22s %-12s  %-25s %5s  %-10s  %-25s  %-25s %5s  %s\n", "variation", "counted", "forgetting",
          "tasks", "against", "difference", "reduction", "tasks", "by seed");
}

/* The index of the variation that the i-th is compared with; its own: none. */
static guint
index_against(const char *const *names, guint i)
{
  const char *against = gem_experiment_variation_find(names[i])->against;
  for (guint j = 0; against != NULL && names[j] != NULL; j++) {
    if (strcmp(names[j], against) == 0) {
      return j;
    }
  }
  return 0;
}

/* ---- all of it ---- */

static GPtrArray *
read_all(const GemExperiment *self, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)gem_experiment_runs_free);
  for (guint i = 0; self->options->variations[i] != NULL; i++) {
    GemExperimentRuns *runs = gem_experiment_runs_read(self, self->options->variations[i], error);
    if (runs == NULL) {
      return NULL;
    }
    g_ptr_array_add(all, runs);
  }
  return g_steal_pointer(&all);
}

static gboolean
write_result(const GemExperiment *self, JsonBuilder *builder, GError **error)
{
  g_autofree char *path = g_build_filename(self->options->work, "result.json", NULL);
  return gem_result_json_write(builder, path, error);
}

gboolean
gem_experiment_report(const GemExperiment *self, GError **error)
{
  const char *const *names = self->options->variations;
  g_autoptr(GPtrArray) all = read_all(self, error);
  g_autoptr(JsonBuilder) builder = json_builder_new();
  if (all == NULL) {
    return FALSE;
  }
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "signature");
  json_builder_add_string_value(builder, self->signature);
  json_builder_set_member_name(builder, "scores");
  json_builder_begin_object(builder);
  print_scores_head();
  for (guint i = 0; i < all->len; i++) {
    json_builder_set_member_name(builder, names[i]);
    json_builder_begin_object(builder);
    report_scores(builder, names[i], all->pdata[i]);
    json_builder_end_object(builder);
  }
  json_builder_end_object(builder);
  json_builder_set_member_name(builder, "variations");
  json_builder_begin_object(builder);
  print_forgetting_head();
  for (guint i = 0; i < all->len; i++) {
    json_builder_set_member_name(builder, names[i]);
    json_builder_begin_object(builder);
    guint against = index_against(names, i);
    for (GemForgettingMeasure m = 0; m < GEM_FORGETTING_MEASURES; m++) {
      report_measure(builder, names[i], all->pdata[i], names[against],
                     against != i ? all->pdata[against] : NULL, m);
    }
    json_builder_end_object(builder);
  }
  json_builder_end_object(builder);
  json_builder_end_object(builder);
  return write_result(self, builder, error);
}
