#include <math.h>

#include "bench/baseline/gem-baseline-task.h"
#include "bench/gem-bench-json.h"
#include "bench/gem-bench-progress.h"
#include "bench/questions/gem-bench-data.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

typedef struct {
  GemBenchOptions common;
  char *data, *tasks, *split;
} BaselineOptions;

static void
baseline_options_clear(BaselineOptions *options)
{
  gem_bench_options_clear(&options->common);
  g_clear_pointer(&options->data, g_free);
  g_clear_pointer(&options->tasks, g_free);
  g_clear_pointer(&options->split, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BaselineOptions, baseline_options_clear)

static gboolean
parse(const GemBenchCommand *self, char **argv, BaselineOptions *options, GError **error)
{
  const GOptionEntry entries[] = {
      {"data", 'd', 0, G_OPTION_ARG_FILENAME, &options->data, "The folder of labelled text", "DIR"},
      {"tasks", 't', 0, G_OPTION_ARG_STRING, &options->tasks, "These tasks (default: the suite)",
       "DOMAIN/NAME,..."},
      {"split", 0, 0, G_OPTION_ARG_STRING, &options->split,
       "Print the scores of test (the default) or dev; the JSON has both", "NAME"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};

  if (!gem_bench_parse(self, groups, argv, &options->common, error)) {
    return FALSE;
  }
  if (options->split == NULL) {
    options->split = g_strdup("test");
  }
  if (options->data == NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--data is wanted");
    return FALSE;
  }
  if (!g_str_equal(options->split, "test") && !g_str_equal(options->split, "dev")) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--split: '%s' is neither test nor dev",
                options->split);
    return FALSE;
  }
  return TRUE;
}

/* The tasks that were asked for, by default those of the suite; each must be in the manifest. */
static GStrv
choose_tasks(const BaselineOptions *options, GError **error)
{
  g_auto(GStrv) all = NULL;
  g_auto(GStrv) forms = NULL;
  g_auto(GStrv) chosen = NULL;
  guint i;

  if (options->tasks == NULL) {
    return gem_bench_data_list_suite(options->data, &forms, error);
  }
  all = gem_bench_data_list_tasks(options->data, error);
  if (all == NULL) {
    return NULL;
  }
  chosen = g_strsplit(options->tasks, ",", -1);
  for (i = 0; chosen[i] != NULL; i++) {
    if (!g_strv_contains((const char *const *)all, chosen[i])) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--tasks: no task '%s' in %s", chosen[i],
                  options->data);
      return NULL;
    }
  }
  return g_steal_pointer(&chosen);
}

/* ---- what comes out ---- */

static char *
format_value(double value)
{
  return isnan(value) ? g_strdup("-") : g_strdup_printf("%.3f", value);
}

static char *
format_score(const GemEdgeScore *score)
{
  return g_strdup_printf("%.3f (%.3f)", score->value, score->standard_error);
}

static void
add_row(GemTable *table, const char *task, const GemBaselineResult *result, const GemBaselineFigures *figures)
{
  g_autofree char *lines = g_strdup_printf("%u", figures->n);
  g_autofree char *train = g_strdup_printf("%u", result->n_train);
  g_autofree char *labels = result->fewest_labels == result->most_labels
                                ? g_strdup_printf("%u", result->most_labels)
                                : g_strdup_printf("%u-%u", result->fewest_labels, result->most_labels);
  g_autofree char *chance = format_value(figures->chance.accuracy.value);
  g_autofree char *majority = format_score(&figures->majority.accuracy);
  g_autofree char *linear = format_score(&figures->linear.accuracy);
  g_autofree char *chance_f1 = format_value(figures->chance.f1.value);
  g_autofree char *majority_f1 = format_value(figures->majority.f1.value);
  g_autofree char *linear_f1 = format_score(&figures->linear.f1);

  gem_table_add(table, -1,
                (const char *const[]){task, lines, train, labels,
                                      result->lists    ? "lists"
                                      : result->shared ? "same"
                                                       : "by line",
                                      chance, majority, linear, chance_f1, majority_f1, linear_f1});
}

/* Errors of chance are not there: guessing is taken at its mean. */
static void
add_score(JsonBuilder *builder, const char *name, const GemBaselineScore *score)
{
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
  gem_bench_json_add_double(builder, "accuracy", score->accuracy.value);
  gem_bench_json_add_double(builder, "accuracy_error", score->accuracy.standard_error);
  gem_bench_json_add_double(builder, "f1", score->f1.value);
  gem_bench_json_add_double(builder, "f1_error", score->f1.standard_error);
  json_builder_end_object(builder);
}

static void
add_split(JsonBuilder *builder, const char *name, const GemBaselineFigures *figures)
{
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
  gem_bench_json_add_count(builder, "n", figures->n);
  gem_bench_json_add_count(builder, "skipped", figures->skipped);
  add_score(builder, "chance", &figures->chance);
  add_score(builder, "majority", &figures->majority);
  add_score(builder, "linear", &figures->linear);
  json_builder_end_object(builder);
}

static void
add_json(JsonBuilder *builder, const char *task, const GemBaselineResult *result)
{
  guint i;

  if (builder == NULL) {
    return;
  }
  json_builder_begin_object(builder);
  gem_json_add_string(builder, "task", task);
  gem_bench_json_add_count(builder, "train", result->n_train);
  gem_bench_json_add_count(builder, "fewest_labels", result->fewest_labels);
  gem_bench_json_add_count(builder, "most_labels", result->most_labels);
  json_builder_set_member_name(builder, "shared");
  json_builder_add_boolean_value(builder, result->shared);
  json_builder_set_member_name(builder, "lists");
  json_builder_add_boolean_value(builder, result->lists);
  gem_bench_json_add_count(builder, "features", result->n_features);
  json_builder_set_member_name(builder, "fields");
  json_builder_add_boolean_value(builder, result->fields);
  gem_bench_json_add_double(builder, "freedom", result->freedom);
  for (i = 0; i < GEM_BASELINE_N_SPLITS; i++) {
    add_split(builder, gem_baseline_split_name(i), &result->splits[i]);
  }
  json_builder_end_object(builder);
}

static gboolean
measure(const GemBenchCommand *self, const BaselineOptions *options, GError **error)
{
  static const char *const headings[] = {"task",      "lines",       "train",     "labels",
                                         "which",     "chance",      "majority",  "linear",
                                         "chance F1", "majority F1", "linear F1", NULL};
  g_auto(GStrv) tasks = choose_tasks(options, error);
  g_autoptr(GemTable) table = gem_table_new("lrrrlrrrrrr", headings);
  g_autoptr(JsonBuilder) builder = NULL;
  g_autoptr(GemBenchProgress) progress = NULL;
  GemBaselineSplit split = g_str_equal(options->split, "dev") ? GEM_BASELINE_DEV : GEM_BASELINE_TEST;
  guint i;

  if (tasks == NULL) {
    return FALSE;
  }
  builder = gem_bench_json_begin(self, &options->common, "data", options->data);
  gem_bench_json_begin_list(builder, "tasks");
  progress = gem_bench_progress_new(g_strv_length(tasks));
  for (i = 0; tasks[i] != NULL; i++) {
    g_autoptr(GError) failure = NULL;
    GemBaselineResult result;

    if (gem_baseline_task_run(options->data, tasks[i], &result, &failure)) {
      add_row(table, tasks[i], &result, &result.splits[split]);
      add_json(builder, tasks[i], &result);
    } else if (failure != NULL) {
      g_propagate_error(error, g_steal_pointer(&failure));
      return FALSE;
    }
    gem_bench_progress_step(progress, tasks[i]);
  }
  g_clear_pointer(&progress, gem_bench_progress_free);
  gem_output_printf("lines of %s; accuracy and macro-F1, in brackets their standard errors\n",
                    options->split);
  gem_table_print(table);
  gem_bench_json_end_list(builder);
  return gem_bench_json_finish(builder, &options->common, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(BaselineOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_baseline = {
    .name = "baseline",
    .arguments = "--data DIR",
    .summary = "Tell what labelled tasks give to guessing, and to a linear model of words",
    .details =
        "Chance, the label that the train split has most often, and logistic regression on words and pairs "
        "of\n"
        "words, learned from the train split; how stiff it is, and whether it tells the fields of an input\n"
        "apart, is chosen on dev. No service is asked, and nothing depends on dice. Takes minutes.\n\n"
        "Examples:\n"
        "  gem-bench baseline --data ~/gem-data --json baselines.json\n"
        "  gem-bench baseline --data ~/gem-data --tasks finance/banking77 --split dev",
    .run = run,
};
