/* gem-bench classify: how often Classify is right on labelled tasks, beside the majority class. */
#include <math.h>

#include "bench/bus/gem-bench-calls.h"
#include "bench/bus/gem-bench-service.h"
#include "bench/gem-bench-json.h"
#include "bench/questions/gem-bench-labels.h"
#include "bench/questions/gem-bench-task.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"

/* A result clearly beats the baseline when it does so by this many of the baseline's standard errors. */
#define CLEAR_ERRORS 2.0

typedef struct {
  GemBenchOptions common;
  GemRunArguments run;
  char *data, *tasks, *split;
  gint limit, seed;
} ClassifyOptions;

/* One call: one example. */
typedef struct {
  GemBenchTask *task;
  guint example;
} LabelCall;

typedef struct {
  GPtrArray *tasks; /* of GemBenchTask */
  GArray *calls;    /* of LabelCall */
  GVariant *run;    /* a{sv}: options of each call */
} Measurement;

static void
classify_options_clear(ClassifyOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
  g_free(options->data);
  g_free(options->tasks);
  g_free(options->split);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ClassifyOptions, classify_options_clear)

static void
measurement_clear(Measurement *self)
{
  g_clear_pointer(&self->tasks, g_ptr_array_unref);
  g_clear_pointer(&self->calls, g_array_unref);
  g_clear_pointer(&self->run, g_variant_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Measurement, measurement_clear)

static gboolean
parse(const GemBenchCommand *self, char **argv, ClassifyOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &options->data, "Folder with manifest.json and tasks/", "DIR"},
      {"tasks", 0, 0, G_OPTION_ARG_STRING, &options->tasks, "These alone (default: all that are labelled)",
       "DOMAIN/NAME,..."},
      {"limit", 0, 0, G_OPTION_ARG_INT, &options->limit, "Examples of each task; 0: all (200)", "N"},
      {"split", 0, 0, G_OPTION_ARG_STRING, &options->split, "test (default), dev or train", "NAME"},
      {"seed", 0, 0, G_OPTION_ARG_INT, &options->seed, "Draws the examples (1)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  options->limit = 200;
  options->seed = 1;
  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, run, NULL}, argv, &options->common, error) ||
      !gem_bench_check_range("limit", options->limit, 0, G_MAXINT, error) ||
      !gem_bench_check_range("seed", options->seed, 0, G_MAXINT, error)) {
    return FALSE;
  }
  options->split = options->split == NULL ? g_strdup("test") : options->split;
  if (options->data == NULL ||
      !g_strv_contains((const char *const[]){"test", "dev", "train", NULL}, options->split)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s",
                options->data == NULL ? "--data DIR is wanted" : "--split is test, dev or train");
    return FALSE;
  }
  return TRUE;
}

/* ---- which tasks, and which calls ---- */

/* The tasks asked for, each of which the manifest must name; all of the manifest's by default. */
static GStrv
choose_tasks(const ClassifyOptions *options, GError **error)
{
  g_auto(GStrv) known = gem_bench_data_list_tasks(options->data, error);
  g_auto(GStrv) wanted = NULL;
  guint i;

  if (known == NULL || options->tasks == NULL) {
    return g_steal_pointer(&known);
  }
  wanted = g_strsplit(options->tasks, ",", -1);
  for (i = 0; wanted[i] != NULL; i++) {
    if (!g_strv_contains((const char *const *)known, wanted[i])) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "--tasks: the manifest has no task '%s' (they are called DOMAIN/NAME)", wanted[i]);
      return NULL;
    }
  }
  return g_steal_pointer(&wanted);
}

/* Reads the labelled ones of `names`. A task that was asked for by name and has no labels is an error. */
static gboolean
read_tasks(const ClassifyOptions *options, GStrv names, GPtrArray *tasks, GError **error)
{
  guint i;

  for (i = 0; names[i] != NULL; i++) {
    g_autoptr(GPtrArray) lines = gem_bench_data_read_lines(
        options->data, names[i], options->split, (guint)options->limit, (guint)options->seed, error);

    if (lines == NULL) {
      return FALSE;
    }
    if (gem_bench_task_is_labelled(lines)) {
      g_ptr_array_add(tasks, gem_bench_task_new(names[i], g_steal_pointer(&lines)));
    } else if (options->tasks != NULL) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--tasks: %s has no labelled %s lines",
                  names[i], options->split);
      return FALSE;
    }
  }
  if (tasks->len == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s has no task with labelled %s lines",
                options->data, options->split);
    return FALSE;
  }
  return TRUE;
}

static void
plan_calls(GPtrArray *tasks, GArray *calls)
{
  guint i, j;

  for (i = 0; i < tasks->len; i++) {
    GemBenchTask *task = tasks->pdata[i];

    for (j = 0; j < task->examples->len; j++) {
      if (g_array_index(task->examples, GemBenchExample, j).fate == GEM_BENCH_USED) {
        LabelCall call = {.task = task, .example = j};

        g_array_append_val(calls, call);
      }
    }
  }
}

/* ---- the calls ---- */

static GemBenchExample *
example_of_call(const LabelCall *call)
{
  return &g_array_index(call->task->examples, GemBenchExample, call->example);
}

static GVariant *
make_arguments(guint index, gpointer data)
{
  const Measurement *self = data;
  const LabelCall *call = &g_array_index(self->calls, LabelCall, index);
  const GemBenchLine *line = example_of_call(call)->line;

  return g_variant_new("(s^as@a{sv})", line->input, line->labels, self->run);
}

static void
take_answer(guint index, GVariant *reply, const GError *refusal, gpointer data)
{
  const Measurement *self = data;
  const LabelCall *call = &g_array_index(self->calls, LabelCall, index);
  GemBenchExample *example = example_of_call(call);

  if (reply == NULL) {
    example->fate = gem_bench_fate_of_refusal(refusal);
  } else {
    g_autoptr(GVariant) scores = g_variant_get_child_value(reply, 0);

    example->choice = gem_bench_labels_choose(scores);
  }
}

static const char *
get_task_name(guint index, gpointer data)
{
  const Measurement *self = data;

  return g_array_index(self->calls, LabelCall, index).task->name;
}

/* ---- what comes out ---- */

static void
add_row(GemTable *table, const GemBenchTask *task, const GemBenchResult *result)
{
  guint used = result->fates[GEM_BENCH_USED];
  g_autofree char *examples = g_strdup_printf("%u", used);
  g_autofree char *labels = result->fewest_labels == result->most_labels
                                ? g_strdup_printf("%u", result->most_labels)
                                : g_strdup_printf("%u-%u", result->fewest_labels, result->most_labels);
  g_autofree char *skipped = g_strdup_printf("%u", task->examples->len - used);
  g_autofree char *baseline = g_strdup_printf("%.3f", result->baseline);
  g_autofree char *accuracy = g_strdup_printf("%.3f", result->accuracy);
  g_autofree char *standard_error = g_strdup_printf("%.3f", result->standard_error);
  g_autofree char *macro_f1 = g_strdup_printf("%.3f", result->macro_f1);

  if (used == 0) {
    gem_table_add(table, -1,
                  (const char *const[]){task->name, "0", "-", "-", "-", "-", "-", "-", "no", skipped});
  } else {
    gem_table_add(table, -1,
                  (const char *const[]){task->name, examples, labels, baseline,
                                        result->same_labels ? "majority" : "chance", accuracy, standard_error,
                                        macro_f1, gem_bench_result_beats(result, 0) ? "yes" : "no", skipped});
  }
}

static void
add_json(JsonBuilder *builder, const GemBenchTask *task, const GemBenchResult *result)
{
  json_builder_begin_object(builder);
  gem_json_add_string(builder, "task", task->name);
  gem_bench_json_add_count(builder, "examples", result->fates[GEM_BENCH_USED]);
  gem_bench_json_add_count(builder, "fewest_labels", result->fewest_labels);
  gem_bench_json_add_count(builder, "most_labels", result->most_labels);
  gem_json_add_string(builder, "baseline_is", result->same_labels ? "majority" : "chance");
  gem_bench_json_add_double(builder, "baseline", result->baseline);
  gem_bench_json_add_double(builder, "accuracy", result->accuracy);
  gem_bench_json_add_double(builder, "standard_error", result->standard_error);
  gem_bench_json_add_double(builder, "macro_f1", result->macro_f1);
  json_builder_set_member_name(builder, "beats");
  json_builder_add_boolean_value(builder, gem_bench_result_beats(result, 0));
  gem_bench_json_add_count(builder, "skipped_labels", result->fates[GEM_BENCH_SKIPPED_LABELS]);
  gem_bench_json_add_count(builder, "skipped_text", result->fates[GEM_BENCH_SKIPPED_TEXT]);
  gem_bench_json_add_count(builder, "skipped_context", result->fates[GEM_BENCH_SKIPPED_CONTEXT]);
  json_builder_end_object(builder);
}

static void
print_skipped(GPtrArray *tasks, const GemBenchResult *results)
{
  guint i;

  for (i = 0; i < tasks->len; i++) {
    g_autofree char *skipped = gem_bench_fates_describe_skipped(results[i].fates);

    if (skipped != NULL) {
      gem_output_printf("skipped of %s: %s\n", ((GemBenchTask *)tasks->pdata[i])->name, skipped);
    }
  }
}

static void
report(GPtrArray *tasks, JsonBuilder *builder)
{
  static const char *const headings[] = {"task",     "examples",       "labels",   "baseline", "which",
                                         "accuracy", "standard error", "macro-F1", "beats",    "skipped",
                                         NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrlrrrlr", headings);
  g_autofree GemBenchResult *results = g_new0(GemBenchResult, tasks->len);
  guint i, beating = 0, clearly = 0;

  if (builder != NULL) {
    json_builder_set_member_name(builder, "tasks");
    json_builder_begin_array(builder);
  }
  for (i = 0; i < tasks->len; i++) {
    gem_bench_task_judge(tasks->pdata[i], &results[i]);
    add_row(table, tasks->pdata[i], &results[i]);
    if (builder != NULL) {
      add_json(builder, tasks->pdata[i], &results[i]);
    }
    beating += gem_bench_result_beats(&results[i], 0);
    clearly += gem_bench_result_beats(&results[i], CLEAR_ERRORS);
  }
  gem_table_print(table);
  print_skipped(tasks, results);
  gem_output_printf("%u of %u tasks beat their baseline, %u by more than %.0f standard errors\n", beating,
                    tasks->len, clearly, CLEAR_ERRORS);
  if (builder != NULL) {
    json_builder_end_array(builder);
    gem_bench_json_add_count(builder, "beating", beating);
    gem_bench_json_add_count(builder, "clearly_beating", clearly);
  }
}

/* Everything that can be wrong with the data or the options is said before the service is asked. */
static gboolean
prepare(const ClassifyOptions *options, Measurement *self, GError **error)
{
  g_auto(GStrv) names = choose_tasks(options, error);
  GVariant *run;

  if (names == NULL || !read_tasks(options, names, self->tasks, error)) {
    return FALSE;
  }
  run = gem_run_arguments_to_variant(&options->run, error);
  if (run == NULL) {
    return FALSE;
  }
  self->run = g_variant_ref_sink(run);
  plan_calls(self->tasks, self->calls);
  return TRUE;
}

static gboolean
measure(const GemBenchCommand *command, const ClassifyOptions *options, GError **error)
{
  g_auto(Measurement) self = {
      .tasks = g_ptr_array_new_with_free_func((GDestroyNotify)gem_bench_task_free),
      .calls = g_array_new(FALSE, FALSE, sizeof(LabelCall)),
  };
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *service = NULL;
  GemBenchCalls calls = {
      .method = "Classify",
      .reply_type = "(a(sd))",
      .arguments = make_arguments,
      .answered = take_answer,
      .name = get_task_name,
  };

  if (!prepare(options, &self, error)) {
    return FALSE;
  }
  calls.n = self.calls->len;
  remote = gem_remote_open(&options->common.bus, error);
  if (remote == NULL || !gem_bench_calls_run(remote, &calls, &self, error)) {
    return FALSE;
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, "service", service);
  gem_output_printf("%s; %s lines, seed %d\n", service, options->split, options->seed);
  report(self.tasks, builder);
  return gem_bench_json_finish(builder, &options->common, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(ClassifyOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_classify = {
    .name = "classify",
    .arguments = "--data DIR",
    .summary = "Tell how often Classify is right on labelled tasks",
    .details =
        "A task is labelled when its lines have \"choices\", or labels.json stands beside them. The "
        "baseline\n"
        "is the share of the most frequent target, or chance (1 / labels) where the labels differ by line.\n"
        "Lines that the service does not take are skipped and counted, never shortened.\n\n"
        "Examples:\n"
        "  gem-bench classify --data ~/gem-data\n"
        "  gem-bench classify --data ~/gem-data --tasks finance/banking77,stem/scicite --limit 0 --json "
        "out.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
