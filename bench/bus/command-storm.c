/* gem-bench storm: many clients that come, ask, cancel and vanish, and a service that is killed meanwhile. */
#include <math.h>
#include <sys/resource.h>

#include "bench/bus/gem-bench-service.h"
#include "bench/bus/gem-bench-storm.h"
#include "bench/gem-bench-json.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"

#define MOST_CLIENTS 10000
#define MOST_SECONDS 86400
#define MOST_KILLS   10000
#define MOST_TOKENS  4096
#define MOST_SPARE   (1 << 20)

/* A storm before the storm, so that what the service holds is compared with what it held under the same load:
 * this share of the seconds, and so many at most. */
#define WARM_SHARE   0.25
#define WARM_SECONDS 10.0
/* Until the service has given back what the clients of the first had, likewise. */
#define CALM_SHARE   0.5
#define CALM_SECONDS 3.0

typedef struct {
  GemBenchOptions common;
  gint clients, seconds, kills, tokens, seed, patience, spare;
} StormOptions;

/* All that came of it. */
typedef struct {
  GemStormTally warm, tally;
  GemBenchServiceMemory before, after; /* no client was there */
  guint64 spare;                       /* bytes that the service may hold more after than before */
  char *service;
} Storm;

static void
storm_options_clear(StormOptions *options)
{
  gem_bench_options_clear(&options->common);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StormOptions, storm_options_clear)

static void
storm_clear(Storm *storm)
{
  gem_storm_tally_clear(&storm->warm);
  gem_storm_tally_clear(&storm->tally);
  g_free(storm->service);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Storm, storm_clear)

/* ---- what came of it ---- */

/* More than was there before, in `now`. */
static gboolean
holds_more(const Storm *storm, const GemBenchServiceMemory *now)
{
  return now->descriptors > storm->before.descriptors || now->process > storm->before.process + storm->spare;
}

static gboolean
is_well(const Storm *storm)
{
  return gem_storm_tally_is_well(&storm->tally) && gem_storm_tally_sum(&storm->warm, GEM_STORM_WRONG) == 0 &&
         gem_storm_tally_sum(&storm->warm, GEM_STORM_FAILED) == 0 &&
         gem_storm_tally_sum(&storm->warm, GEM_STORM_LOST) == 0 && !holds_more(storm, &storm->after);
}

static const char *const outcome_names[GEM_STORM_N_OUTCOMES] = {
    [GEM_STORM_RIGHT] = "right", [GEM_STORM_REFUSED] = "refused", [GEM_STORM_CUT] = "cut by a kill",
    [GEM_STORM_WRONG] = "wrong", [GEM_STORM_FAILED] = "failed",   [GEM_STORM_LOST] = "lost",
};

static void
print_row(GemTable *table, const char *name, const guint counts[GEM_STORM_N_OUTCOMES])
{
  char *cells[GEM_STORM_N_OUTCOMES + 2] = {g_strdup(name)};
  guint i;

  for (i = 0; i < GEM_STORM_N_OUTCOMES; i++) {
    cells[i + 1] = g_strdup_printf("%u", counts[i]);
  }
  gem_table_add(table, -1, (const char *const *)cells);
  for (i = 0; cells[i] != NULL; i++) {
    g_free(cells[i]);
  }
}

static void
print_counts(const GemStormTally *tally)
{
  const char *headings[GEM_STORM_N_OUTCOMES + 2] = {"what"};
  g_autoptr(GemTable) table = NULL;
  guint sums[GEM_STORM_N_OUTCOMES], i;

  for (i = 0; i < GEM_STORM_N_OUTCOMES; i++) {
    headings[i + 1] = outcome_names[i];
    sums[i] = gem_storm_tally_sum(tally, i);
  }
  table = gem_table_new("lrrrrrr", headings);
  for (i = 0; i < GEM_STORM_N_KINDS; i++) {
    print_row(table, gem_storm_kind_name(i), tally->counts[i]);
  }
  print_row(table, "all", sums);
  gem_table_print(table);
}

/* What was refused and what went wrong, in words. */
static void
print_notes(const GemStormTally *tally)
{
  GHashTableIter iter;
  gpointer note, times;

  g_hash_table_iter_init(&iter, tally->notes);
  while (g_hash_table_iter_next(&iter, &note, &times)) {
    gem_output_printf("%u times: %s\n", GPOINTER_TO_UINT(times), (const char *)note);
  }
}

static double
quantile(const GArray *values, double p)
{
  return gem_bench_quantile((const double *)(gconstpointer)values->data, values->len, p);
}

static const struct {
  const char *name;
  double p;
} quantiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};

static void
report_times(
    GemTable *table, JsonBuilder *builder, const char *name, const char *member, const GArray *values)
{
  g_autofree char *n = g_strdup_printf("%u", values->len);
  char *cells[G_N_ELEMENTS(quantiles) + 3] = {g_strdup(name), g_steal_pointer(&n)};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(quantiles); i++) {
    double value = quantile(values, quantiles[i].p);
    g_autofree char *full = g_strdup_printf("%s_%s", member, quantiles[i].name);

    cells[i + 2] = isfinite(value) ? g_strdup_printf("%.1f", value) : g_strdup("-");
    gem_bench_json_add_double(builder, full, value);
  }
  gem_table_add(table, -1, (const char *const *)cells);
  for (i = 0; cells[i] != NULL; i++) {
    g_free(cells[i]);
  }
}

static void
report_latencies(const GemStormTally *tally, JsonBuilder *builder)
{
  g_autoptr(GemTable) table =
      gem_table_new("lrrrr", (const char *const[]){"milliseconds", "n", "p50", "p95", "p99", NULL});

  report_times(table, builder, "first token of a stream", "first_token_ms", tally->first_ms);
  report_times(table, builder, "whole stream", "stream_ms", tally->whole_ms);
  report_times(table, builder, "answer of Ask", "ask_ms", tally->ask_ms);
  gem_table_print(table);
}

static void
report_kills(const GemStormTally *tally, JsonBuilder *builder)
{
  GemBenchSpread spread = gem_bench_spread(tally->served_ms);

  gem_bench_json_add_count(builder, "kills", tally->kills);
  if (tally->kills == 0) {
    return;
  }
  gem_output_printf("%u kills, %u of them before the service had answered again; a call answered again after "
                    "%.0f ms (median), %.0f ms (most)\n",
                    tally->kills, tally->early, spread.median, spread.max);
  gem_bench_json_add_count(builder, "early_kills", tally->early);
  gem_bench_json_add_values(builder, "served_again_ms", tally->served_ms);
}

static void
report_house(const Storm *storm, JsonBuilder *builder)
{
  g_autofree char *before = gem_output_size(storm->before.process);
  g_autofree char *after = gem_output_size(storm->after.process);

  gem_bench_json_add_count(builder, "process_bytes_before", storm->before.process);
  gem_bench_json_add_count(builder, "process_bytes_after", storm->after.process);
  gem_bench_json_add_count(builder, "descriptors_before", storm->before.descriptors);
  gem_bench_json_add_count(builder, "descriptors_after", storm->after.descriptors);
  if (storm->before.process == 0) {
    gem_output_text("the system does not tell what the service's process holds\n");
    return;
  }
  gem_output_printf(
      "the service's process, without clients: %s and %u descriptors before, %s and %u after%s\n", before,
      storm->before.descriptors, after, storm->after.descriptors,
      holds_more(storm, &storm->after) ? ": a leak" : "");
}

static void
report(const Storm *storm, const StormOptions *options, JsonBuilder *builder)
{
  const GemStormTally *tally = &storm->tally;
  double rate = (double)tally->tokens / tally->seconds;
  guint i;

  gem_output_printf("%s; %d clients for %d s, seed %d\n", storm->service, options->clients, options->seconds,
                    options->seed);
  print_counts(tally);
  print_notes(&storm->warm);
  print_notes(tally);
  report_latencies(tally, builder);
  gem_output_printf("%.0f tokens/s over %.1f s\n", rate, tally->seconds);
  gem_bench_json_add_count(builder, "clients", (guint64)options->clients);
  gem_bench_json_add_double(builder, "seconds", tally->seconds);
  gem_bench_json_add_double(builder, "tokens_per_second", rate);
  for (i = 0; i < GEM_STORM_N_OUTCOMES; i++) {
    g_autofree char *member = g_strdelimit(g_strdup(outcome_names[i]), " ", '_');

    gem_bench_json_add_count(builder, member, gem_storm_tally_sum(tally, i));
  }
  report_kills(tally, builder);
  report_house(storm, builder);
}

/* ---- the command ---- */

/* A connection and a pipe for each client. */
static void
raise_descriptors(void)
{
  struct rlimit limit;

  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

static char *
find_address(const GemVerbOptions *bus, GError **error)
{
  if (bus->address != NULL) {
    return g_strdup(bus->address);
  }
  return g_dbus_address_get_for_bus_sync(bus->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
}

static gboolean
read_now(GemRemote *remote, GemBenchServiceMemory *ret_memory, GError **error)
{
  /* After a kill it is another process. */
  return gem_remote_find(remote, error) && gem_bench_read_service_memory(remote, ret_memory, error);
}

/* What it holds once what the clients left is gone, or was not gone in so many seconds. */
static gboolean
read_after(GemRemote *remote, Storm *storm, double patience, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)(patience * G_USEC_PER_SEC);

  while (read_now(remote, &storm->after, error)) {
    if (!holds_more(storm, &storm->after) || g_get_monotonic_time() > deadline) {
      return TRUE;
    }
    g_usleep(G_USEC_PER_SEC / 20);
  }
  return FALSE;
}

/* With kills each process has a short life, and what the first held is compared. */
static gboolean
warm_up(
    GemRemote *remote, const GemStormPlan *plan, const GemStormScript *script, Storm *storm, GError **error)
{
  GemStormPlan warm = *plan;

  warm.kills = 0;
  warm.seconds = MIN(plan->seconds * WARM_SHARE, WARM_SECONDS);
  warm.seed = plan->seed + 1;
  return gem_storm_run(remote, &warm, script, &storm->warm, error) && read_now(remote, &storm->before, error);
}

static gboolean
run_storm(const StormOptions *options, Storm *storm, GError **error)
{
  g_autofree char *address = find_address(&options->common.bus, error);
  GemStormPlan plan = {.address = address,
                       .clients = (guint)options->clients,
                       .kills = (guint)options->kills,
                       .seed = (guint)options->seed,
                       .seconds = options->seconds,
                       .patience = options->patience};
  g_autoptr(GemRemote) remote = address == NULL ? NULL : gem_remote_open(&options->common.bus, error);
  g_autoptr(GemStormScript) script =
      remote == NULL ? NULL : gem_storm_script_new(remote, (guint)options->tokens, error);

  if (script == NULL) {
    return FALSE;
  }
  storm->spare = (guint64)options->spare << 20;
  storm->service = gem_bench_describe_service(remote, error);
  return storm->service != NULL && warm_up(remote, &plan, script, storm, error) &&
         gem_storm_run(remote, &plan, script, &storm->tally, error) &&
         read_after(remote, storm, plan.patience, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, StormOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"clients", 'n', 0, G_OPTION_ARG_INT, &options->clients, "Clients at once (500)", "N"},
      {"seconds", 's', 0, G_OPTION_ARG_INT, &options->seconds, "How long (60)", "N"},
      {"kill", 'k', 0, G_OPTION_ARG_INT, &options->kills, "SIGKILLs of the service, at random moments (0)",
       "N"},
      {"tokens", 0, 0, G_OPTION_ARG_INT, &options->tokens, "Length of an answer, at most (16)", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT, &options->seed, "Of the dice that the clients roll (1)", "N"},
      {"patience", 0, 0, G_OPTION_ARG_INT, &options->patience,
       "Seconds that answers may take after the end before they are lost (60)", "N"},
      {"spare", 0, 0, G_OPTION_ARG_INT, &options->spare,
       "MiB that the service may hold more after than before: a heap in use has holes (16)", "N"},
      G_OPTION_ENTRY_NULL,
  };

  *options =
      (StormOptions){.clients = 500, .seconds = 60, .tokens = 16, .seed = 1, .patience = 60, .spare = 16};
  return gem_bench_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options->common, error) &&
         gem_bench_check_range("clients", options->clients, 1, MOST_CLIENTS, error) &&
         gem_bench_check_range("seconds", options->seconds, 1, MOST_SECONDS, error) &&
         gem_bench_check_range("kill", options->kills, 0, MOST_KILLS, error) &&
         gem_bench_check_range("tokens", options->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("spare", options->spare, 0, MOST_SPARE, error) &&
         gem_bench_check_range("patience", options->patience, 1, MOST_SECONDS, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(StormOptions) options = {0};
  g_auto(Storm) storm = {0};
  g_autoptr(JsonBuilder) builder = NULL;
  g_autoptr(GError) error = NULL;

  gem_storm_tally_init(&storm.warm);
  gem_storm_tally_init(&storm.tally);
  raise_descriptors();
  if (!parse(self, argv, &options, &error) || !run_storm(&options, &storm, &error)) {
    return gem_bench_complain(error);
  }
  builder = gem_bench_json_begin(self, &options.common, "service", storm.service);
  report(&storm, &options, builder);
  if (!gem_bench_json_finish(builder, &options.common, &error)) {
    return gem_bench_complain(error);
  }
  return is_well(&storm) ? GEM_EXIT_OK : GEM_EXIT_FAILED;
}

const GemBenchCommand gem_bench_storm = {
    .name = "storm",
    .arguments = "",
    .summary = "Tell whether the service loses anything while many clients come, cancel and vanish",
    .details =
        "Each client has a connection of its own and does one thing after the other, by dice: Ask; a "
        "session\n"
        "with a turn that it reads to its end; a turn that it cancels, or whose pipe it closes, somewhere "
        "in\n"
        "the middle; or it leaves the bus somewhere in the middle and comes back. What comes is compared "
        "with\n"
        "what the service gave to the same text when it was alone. After the seconds all that is owed is "
        "waited\n"
        "for. Ends with 1 when anything was wrong, failed or lost, or when the service's process holds more\n"
        "than before.\n\n"
        "--kill wants a service that its bus, or something else, starts again. A system bus takes 256\n"
        "connections of a user: ./dev storm of the sources has a bus of its own with room for all.\n\n"
        "Examples:\n"
        "  gem-bench storm --clients 100\n"
        "  gem-bench storm --seconds 90 --kill 50 --json storm.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
