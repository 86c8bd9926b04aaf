/* gem-bench edge: EdgeBench, what a model is worth on the tasks of eight domains, and what that costs. */
#include "bench/bus/gem-edge-bus.h"
#include "bench/direct/gem-edge-direct.h"
#include "bench/edge/gem-edge-run.h"
#include "bench/edge/gem-edge-table.h"
#include "bench/gem-bench-command.h"
#include "bench/gem-bench-file.h"
#include "bench/report/gem-report-page.h"

#define POWERCAP       "/sys/class/powercap"
#define MOST_FLIGHT    16
#define MOST_TOKENS    256
#define MOST_THREADS   256
#define FLIGHT         4
#define TOKENS         128
#define TRANSFER_LINES 20

typedef struct {
  GemBenchOptions common;
  GemBenchModelOptions engine;
  char *data, *tasks, *split, *model, *state, *baseline, *report;
  GStrv specialists;
  gint limit, seed, transfer_limit, in_flight, tokens;
  gboolean direct, transfer;
} EdgeOptions;

static void
edge_options_clear(EdgeOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_bench_model_options_clear(&options->engine);
  g_free(options->data);
  g_free(options->tasks);
  g_free(options->split);
  g_free(options->model);
  g_free(options->state);
  g_strfreev(options->specialists);
  g_free(options->baseline);
  g_free(options->report);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EdgeOptions, edge_options_clear)

/* ---- options ---- */

static gboolean
check_ranges(const EdgeOptions *options, GError **error)
{
  return gem_bench_check_range("limit", options->limit, 0, G_MAXINT, error) &&
         gem_bench_check_range("seed", options->seed, 0, G_MAXINT, error) &&
         gem_bench_check_range("transfer-limit", options->transfer_limit, 1, G_MAXINT, error) &&
         gem_bench_check_range("in-flight", options->in_flight, 1, MOST_FLIGHT, error) &&
         gem_bench_check_range("tokens", options->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("threads", options->engine.threads, 1, MOST_THREADS, error);
}

static gboolean
check(const EdgeOptions *options, GError **error)
{
  const char *complaint = NULL;

  if (options->data == NULL) {
    complaint = "--data DIR is wanted";
  } else if (!g_strv_contains((const char *const[]){"test", "dev", "train", NULL}, options->split)) {
    complaint = "--split is dev, test or train";
  } else if (options->direct && options->model == NULL) {
    complaint = "--direct: --model MODEL is wanted";
  }
  if (complaint != NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, complaint);
    return FALSE;
  }
  return check_ranges(options, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, EdgeOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &options->data, "Folder with manifest.json and tasks/", "DIR"},
      {"tasks", 0, 0, G_OPTION_ARG_STRING, &options->tasks,
       "These of the suite alone; * and ? stand for others", "DOMAIN/NAME,..."},
      {"split", 0, 0, G_OPTION_ARG_STRING, &options->split, "dev (default), test or train", "NAME"},
      {"limit", 0, 0, G_OPTION_ARG_INT, &options->limit, "Lines of each task; 0: all (0)", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT, &options->seed, "Draws the lines (1)", "N"},
      {"tokens", 0, 0, G_OPTION_ARG_INT, &options->tokens, "Of an answer that is written, at most (128)",
       "N"},
      {"transfer", 0, 0, G_OPTION_ARG_NONE, &options->transfer, "Run tasks through every pathway too", NULL},
      {"transfer-limit", 0, 0, G_OPTION_ARG_INT, &options->transfer_limit, "Lines of each task there (20)",
       "N"},
      {"specialist", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->specialists,
       "Give scores on the scale of this earlier result or file of gem-bench baseline, too; may be repeated",
       "FILE"},
      {"baseline", 0, 0, G_OPTION_ARG_FILENAME, &options->baseline,
       "Put the linear model of this file of gem-bench baseline beside the scores", "FILE"},
      {"report", 0, 0, G_OPTION_ARG_FILENAME, &options->report,
       "Draw the results into FILE too, as an HTML page (gem-bench report)", "FILE"},
      {"in-flight", 0, 0, G_OPTION_ARG_INT, &options->in_flight, "Questions at a time (4)", "N"},
      {"state", 0, 0, G_OPTION_ARG_FILENAME, &options->state,
       "Keep answers here and go on from them (FILE.state of --json FILE, or else of --report FILE)", "FILE"},
      {"model", 0, 0, G_OPTION_ARG_FILENAME, &options->model,
       "What --direct runs; through the bus: the folder of its model, for its FLOP", "MODEL"},
      {"direct", 0, 0, G_OPTION_ARG_NONE, &options->direct, "Run the engine here, without a service", NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *engine = gem_bench_model_entries(&options->engine);
  const char *results;

  options->seed = 1;
  options->transfer_limit = TRANSFER_LINES;
  options->in_flight = FLIGHT;
  options->tokens = TOKENS;
  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, engine, NULL}, argv, &options->common,
                       error)) {
    return FALSE;
  }
  options->split = options->split == NULL ? g_strdup("dev") : options->split;
  results = options->common.json != NULL ? options->common.json : options->report;
  if (options->state == NULL && results != NULL) {
    options->state = g_strconcat(results, ".state", NULL);
  }
  return check(options, error);
}

/* ---- a run ---- */

static GemEdgeAsker *
open_asker(const EdgeOptions *options, GError **error)
{
  return options->direct ? gem_edge_direct_new(&options->engine, options->model, error)
                         : gem_edge_bus_new(&options->common.bus, error);
}

/* The state's file, of this very run. */
static GemEdgeState *
open_state(const EdgeOptions *options, const GemEdgeAsker *asker, GemEdgePlan *plan, GError **error)
{
  g_autofree char *data = gem_edge_suite_digest(plan->suite);
  g_autofree char *limit = g_strdup_printf("%d", options->limit);
  g_autofree char *seed = g_strdup_printf("%d", options->seed);
  g_autofree char *tokens = g_strdup_printf("%d", options->tokens);
  g_autofree char *transfer = g_strdup_printf("%u", plan->transfer_limit);
  g_autofree char *flight = g_strdup_printf("%d", options->in_flight);
  g_autofree char *threads = g_strdup_printf("%d", options->engine.threads);
  const char *const identity[] = {"model",
                                  asker->model,
                                  "version",
                                  asker->version,
                                  "model's files",
                                  asker->identity,
                                  "way",
                                  asker->way,
                                  "split",
                                  options->split,
                                  "limit",
                                  limit,
                                  "seed",
                                  seed,
                                  "tokens",
                                  tokens,
                                  "transfer",
                                  transfer,
                                  "in-flight",
                                  flight,
                                  "threads",
                                  options->direct ? threads : "*",
                                  "backend",
                                  options->direct && options->engine.backend != NULL ? options->engine.backend
                                                                                     : "*",
                                  "tasks",
                                  options->tasks == NULL ? "*" : options->tasks,
                                  "data",
                                  data,
                                  NULL};

  return gem_edge_state_open(options->state, identity, plan, error);
}

/* The model's shape, for FLOP; nothing without --model. */
static gboolean
read_flop(const EdgeOptions *options, const GemEdgeAsker *asker, GemEdgeFlop *flop, GError **error)
{
  g_autofree char *name = NULL;

  if (options->model == NULL) {
    return TRUE;
  }
  if (!gem_edge_flop_read(options->model, flop, &name, error)) {
    return FALSE;
  }
  if (!g_str_equal(name, asker->model)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--model: %s has the model %s, and the service runs %s", options->model, name, asker->model);
    return FALSE;
  }
  return TRUE;
}

static gboolean
write_json(const char *path, JsonNode *root, GError **error)
{
  g_autofree char *text = json_to_string(root, TRUE);

  return gem_bench_file_write(path, text, error);
}

static gboolean
write_page(const char *path, JsonNode *root, GError **error)
{
  g_autofree char *page = gem_report_page_new(json_node_get_object(root));

  return gem_bench_file_write(path, page, error);
}

/* Prints and writes what came out. */
static gboolean
report(const EdgeOptions *options, const GemEdgeResult *result, const GemEdgeRunInfo *info, GError **error)
{
  g_autoptr(JsonNode) root = gem_edge_json_build(result, info);

  gem_edge_table_print(result, info);
  return (options->common.json == NULL || write_json(options->common.json, root, error)) &&
         (options->report == NULL || write_page(options->report, root, error));
}

static gboolean
measure(const EdgeOptions *options, const GemEdgeSuite *suite, const GemEdgeScale *scale, GError **error)
{
  g_autoptr(GemEdgeAsker) asker = open_asker(options, error);
  g_autoptr(GemEdgeEnergy) energy = gem_edge_energy_new(POWERCAP);
  g_autoptr(GemEdgePlan) plan = NULL;
  g_autoptr(GemEdgeState) state = NULL;
  g_autoptr(GemEdgeResult) result = NULL;
  const GemEdgeRunOptions run = {.in_flight = (guint)options->in_flight,
                                 .max_tokens = (guint)options->tokens};
  GemEdgeFlop flop = {0};
  GemEdgeScale whole = *scale;
  GemEdgeRunInfo info;

  if (asker == NULL || !read_flop(options, asker, &flop, error)) {
    return FALSE;
  }
  plan = gem_edge_plan_new(suite, (const char *const *)asker->domains,
                           options->transfer ? (guint)options->transfer_limit : 0, (guint)options->seed);
  state = open_state(options, asker, plan, error);
  if (state == NULL || !gem_edge_run(plan, asker, state, energy, &run, error)) {
    return FALSE;
  }
  whole.flop = &flop;
  result = gem_edge_result_new(plan, gem_edge_state_get_samples(state), &whole);
  info = (GemEdgeRunInfo){
      .model = asker->model,
      .digest = asker->identity,
      .version = asker->version,
      .way = asker->way,
      .split = options->split,
      .seed = (guint)options->seed,
      .limit = (guint)options->limit,
      .transfer_limit = plan->transfer_limit,
      .in_flight = run.in_flight,
      .energy_absent = gem_edge_energy_get_absence(energy),
      .paging_absent = asker->sight_absent,
  };
  return report(options, result, &info, error);
}

static gboolean
prepare_and_measure(const EdgeOptions *options, GError **error)
{
  const GemEdgeWish wish = {.folder = options->data,
                            .tasks = options->tasks,
                            .split = options->split,
                            .limit = (guint)options->limit,
                            .seed = (guint)options->seed};
  g_autoptr(GemEdgeSpecialist) specialist = NULL;
  g_autoptr(GemEdgeBaselines) baselines = NULL;
  g_autoptr(GemEdgeSuite) suite = NULL;
  GemEdgeScale scale;

  /* Everything that can be wrong with files or options is said before the service is asked. */
  if (!gem_bench_check_writable("json", options->common.json, error) ||
      !gem_bench_check_writable("report", options->report, error)) {
    return FALSE;
  }
  if (options->specialists != NULL) {
    specialist = gem_edge_specialist_read((const char *const *)options->specialists, &wish, error);
    if (specialist == NULL) {
      return FALSE;
    }
  }
  if (options->baseline != NULL) {
    baselines = gem_edge_baselines_read(options->baseline, options->split, error);
    if (baselines == NULL) {
      return FALSE;
    }
  }
  scale = (GemEdgeScale){.specialist = specialist, .baselines = baselines};
  suite = gem_edge_suite_read(&wish, error);
  return suite != NULL && measure(options, suite, &scale, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(EdgeOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !prepare_and_measure(&options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_edge = {
    .name = "edge",
    .arguments = "--data DIR",
    .summary = "Run EdgeBench: scores, transfer between domains, and costs",
    .details = "The tasks of the manifest's list \"suite\": choices by likelihood, answers, texts and lists "
               "written\n"
               "greedily. --transfer forces every pathway on every domain's tasks, for GG, CDTR and DSI. "
               "With a state\n"
               "file a run that was ended goes on with the same command. docs/edgebench.md says what is "
               "measured.\n\n"
               "Examples:\n"
               "  gem-bench edge --data ~/gem-data --limit 100 --json edge.json --report edge.html\n"
               "  gem-bench edge --data ~/gem-data --limit 100 --transfer --tasks 'legal/*,finance/*'\n"
               "  gem-bench edge --data ~/gem-data --direct --model models/gem-mini --threads 2 --split test",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
