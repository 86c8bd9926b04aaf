/* gem-bench limits: what the machine can do at most, which every other figure is held against. */
#include <unistd.h>

#include "bench/direct/limits/gem-limits-barrier.h"
#include "bench/direct/limits/gem-limits-memory.h"
#include "bench/direct/limits/gem-limits-peaks.h"
#include "bench/direct/limits/gem-limits-report.h"
#include "bench/gem-bench-progress.h"

#define MOST_ROUNDS  10000
#define MOST_LARGEST 65536 /* MiB */
#define NOT_GIVEN    G_MININT
#define SMALLEST     ((gsize)16 * 1024)
#define MEBIBYTE     ((gsize)1024 * 1024)

typedef struct {
  GemBenchOptions common;
  gint threads, rounds;
  gint largest; /* MiB */
  gboolean quick;
  char *file; /* NULL: none */
} LimitsOptions;

/* How thorough a run is. */
typedef struct {
  gint rounds;    /* unless an option says */
  gsize largest;  /* MiB; the same */
  guint factor;   /* from a set to the next */
  double seconds; /* of one value, about */
} Effort;

static const Effort thorough = {5, 1024, 2, 0.012}, quick = {3, 64, 8, 0.003};

static void
limits_options_clear(LimitsOptions *options)
{
  gem_bench_options_clear(&options->common);
  g_free(options->file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LimitsOptions, limits_options_clear)

/* ---- which probes ---- */

static void
add_memory_probes(
    const GemLimitsMemory *memory, gsize largest, guint factor, guint threads, GemLimitsResults *results)
{
  gsize bytes;

  for (bytes = SMALLEST; bytes <= largest; bytes *= factor) {
    g_ptr_array_add(results->reads, gem_limits_memory_new_read(memory, bytes, 1));
    g_ptr_array_add(results->copies, gem_limits_memory_new_copy(memory, bytes, 1));
    if (threads > 1 && gem_limits_memory_can_divide(bytes, threads)) {
      g_ptr_array_add(results->reads, gem_limits_memory_new_read(memory, bytes, threads));
      g_ptr_array_add(results->copies, gem_limits_memory_new_copy(memory, bytes, threads));
    }
  }
}

static void
add_peak_probes(GemLimitsFeatures features, guint threads, GemLimitsResults *results)
{
  g_autoptr(GPtrArray) peaks = gem_limits_peaks_find(features);
  guint i;

  for (i = 0; i < peaks->len; i++) {
    g_ptr_array_add(results->peaks, gem_limits_peaks_new_probe(peaks->pdata[i], 1));
    if (threads > 1) {
      g_ptr_array_add(results->peaks, gem_limits_peaks_new_probe(peaks->pdata[i], threads));
    }
  }
}

/* Of const GemLimitsProbe *, all that there are; transfer container. */
static GPtrArray *
list_probes(const GemLimitsResults *results)
{
  GPtrArray *all = g_ptr_array_new();

  g_ptr_array_extend(all, results->reads, NULL, NULL);
  g_ptr_array_extend(all, results->copies, NULL, NULL);
  g_ptr_array_extend(all, results->peaks, NULL, NULL);
  if (results->barrier != NULL) {
    g_ptr_array_add(all, results->barrier);
  }
  return all;
}

/* ---- measuring ---- */

/* Round after round over all probes, so that what else runs for a while does not meet one of them alone. */
static gboolean
measure_rounds(GemLimitsResults *results, double seconds, GError **error)
{
  g_autoptr(GPtrArray) probes = list_probes(results);
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(probes->len * (1 + results->rounds));
  guint round, i;

  for (i = 0; i < probes->len; i++) {
    GemLimitsProbe *probe = probes->pdata[i];

    if (!gem_limits_probe_warm_up(probe, seconds, error)) {
      return FALSE;
    }
    gem_bench_progress_step(progress, probe->name);
  }
  for (round = 0; round < results->rounds; round++) {
    for (i = 0; i < probes->len; i++) {
      GemLimitsProbe *probe = probes->pdata[i];

      if (!gem_limits_probe_measure(probe, error)) {
        return FALSE;
      }
      gem_bench_progress_step(progress, probe->name);
    }
    if (results->pool != NULL && !gem_limits_pool_measure(results->pool, seconds, error)) {
      return FALSE;
    }
    if (results->file != NULL && !gem_limits_file_measure(results->file, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* The largest set in bytes: an eighth of the memory at most, unless it was asked for. */
static gsize
choose_largest(const LimitsOptions *options, const Effort *effort)
{
  gsize memory = (gsize)sysconf(_SC_PHYS_PAGES) * (gsize)sysconf(_SC_PAGESIZE);

  return options->largest != NOT_GIVEN ? (gsize)options->largest * MEBIBYTE
                                       : MIN(effort->largest * MEBIBYTE, MAX(memory / 8, MEBIBYTE));
}

/* Puts the memory that results go over into `ret_memory`. */
static gboolean
measure_all(const LimitsOptions *options,
            GemLimitsResults *results,
            GemLimitsMemory **ret_memory,
            GError **error)
{
  const Effort *effort = options->quick ? &quick : &thorough;
  GemLimitsFeatures features = gem_limits_cpu_get_features();
  gsize largest = choose_largest(options, effort);
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(1);
  GemLimitsMemory *memory;

  gem_bench_progress_prepare(progress,
                             options->file != NULL ? "reading the file, filling memory" : "filling memory");
  if (options->file != NULL) {
    results->file = gem_limits_file_new(options->file, error);
    if (results->file == NULL) {
      return FALSE;
    }
  }
  memory = gem_limits_memory_new(largest, features, error);
  if (memory == NULL) {
    return FALSE;
  }
  *ret_memory = memory;
  results->threads = (guint)options->threads;
  results->rounds = (guint)(options->rounds != NOT_GIVEN ? options->rounds : effort->rounds);
  add_memory_probes(memory, largest, effort->factor, results->threads, results);
  add_peak_probes(features, results->threads, results);
  results->barrier = results->cpus > 1 ? gem_limits_barrier_new_probe() : NULL;
  if (results->threads > 1) {
    results->pool = gem_limits_pool_new(results->threads, error);
    if (results->pool == NULL) {
      return FALSE;
    }
  }
  g_clear_pointer(&progress, gem_bench_progress_free);
  return measure_rounds(results, effort->seconds, error);
}

static gboolean
measure(const GemBenchCommand *command, const LimitsOptions *options, GError **error)
{
  g_autoptr(GemLimitsMemory) memory = NULL; /* goes after the results */
  g_auto(GemLimitsResults) results = {0};
  g_autoptr(JsonBuilder) builder = NULL;

  gem_limits_results_init(&results);
  if (!measure_all(options, &results, &memory, error)) {
    return FALSE;
  }
  gem_limits_results_print(&results);
  builder = gem_bench_json_begin(command, &options->common, "machine", results.machine);
  gem_limits_results_add_json(&results, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         (options->common.chart == NULL || gem_limits_results_draw(&results, options->common.chart, error));
}

/* ---- the command ---- */

static gboolean
parse(const GemBenchCommand *self, char **argv, LimitsOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"threads", 't', 0, G_OPTION_ARG_INT, &options->threads,
       "Threads of what is measured on more than one (as many as processors)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options->rounds, "Rounds (5, with --quick 3)", "N"},
      {"largest", 0, 0, G_OPTION_ARG_INT, &options->largest,
       "The largest working set (1024, with --quick 64; an eighth of the memory at most)", "MiB"},
      {"quick", 0, 0, G_OPTION_ARG_NONE, &options->quick, "Fewer sets, for less time each", NULL},
      {"file", 0, 0, G_OPTION_ARG_FILENAME, &options->file,
       "Tell how fast this file is read too, from the system's cache and from the disk", "FILE"},
      G_OPTION_ENTRY_NULL,
  };

  guint cpus = gem_limits_cpu_count();

  options->threads = (gint)cpus;
  options->rounds = options->largest = NOT_GIVEN;
  return gem_bench_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options->common, error) &&
         gem_bench_check_range("threads", options->threads, 1, (gint)cpus, error) &&
         (options->rounds == NOT_GIVEN ||
          gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error)) &&
         (options->largest == NOT_GIVEN ||
          gem_bench_check_range("largest", options->largest, 1, MOST_LARGEST, error));
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(LimitsOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_limits = {
    .name = "limits",
    .arguments = "",
    .summary = "Tell what this machine can do at most: memory, arithmetic, barriers",
    .details =
        "Reads and copies working sets of growing size, on one thread and on all; multiplies and adds in\n"
        "registers, with every set of instructions that the processor has and the system lets programs use\n"
        "(a multiply-add is two operations); lets two threads wait for each other, and the engine's own\n"
        "pool share out calls with nothing to do: with empty parts, which the first to come takes, and with\n"
        "parts that wait until every thread has come: an upper bound of what a call of even parts costs,\n"
        "since their waiting is in it. A set is divided among threads; GB are 10^9 bytes, of a copy those\n"
        "that arrive. Quote medians, of a machine that does nothing else.\n\n"
        "Examples:\n"
        "  gem-bench limits\n"
        "  gem-bench limits --quick\n"
        "  gem-bench limits -r 9 --file ~/models/gem-mini/general.gguf --json limits.json --chart limits.svg",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
