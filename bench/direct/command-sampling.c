/* gem-bench sampling: how long the choice of a token from its logits takes. */
#include <math.h>

#include "bench/direct/limits/gem-limits-cpu.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-json.h"
#include "bench/gem-bench-progress.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"
#include "daemon/engine/gem-sampler.h"

#define MOST_VOCABULARY 1000000
#define MOST_ROUNDS     100000
#define SEED            1u

/* Rows of logits, which the draws of a round go through: more than the nearest cache holds. */
#define ROWS 16u

typedef struct {
  GemBenchOptions common;
  gint vocabulary, rounds;
} SamplingOptions;

static void
sampling_options_clear(SamplingOptions *options)
{
  gem_bench_options_clear(&options->common);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SamplingOptions, sampling_options_clear)

typedef struct {
  const char *name;
  double temperature;
  guint top_k;
  double top_p;
} Case;

static const Case cases[] = {
    {"greedy", 0, 0, 1},          {"temperature 0.8", 0.8, 0, 1},          {"top-k 40", 0.8, 40, 1},
    {"top-p 0.95", 0.8, 0, 0.95}, {"top-k 40, top-p 0.95", 0.8, 40, 0.95},
};

/* What logits look like: of a model that is sure, and of one that is not. */
typedef struct {
  const char *name;
  double deviation;
} Shape;

static const Shape shapes[] = {{"steep", 4}, {"flat", 0.5}};

/* Normally distributed: Box and Muller. */
static float *
new_logits(gsize n, double deviation)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
  float *logits = g_new(float, n);
  gsize i;

  for (i = 0; i < n; i++) {
    double radius = sqrt(-2 * log(1 - g_rand_double(rand)));

    logits[i] = (float)(deviation * radius * cos(2 * G_PI * g_rand_double(rand)));
  }
  return logits;
}

/* Microseconds of a draw, the mean of each round; one round warms up. */
static GArray *
measure_case(const SamplingOptions *options,
             const Case *wanted,
             const float *logits,
             GemBenchProgress *progress,
             GError **error)
{
  g_autoptr(GemSampler) sampler = gem_sampler_new(wanted->temperature, wanted->top_k, wanted->top_p, SEED);
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(double));
  guint n = (guint)options->vocabulary, row;
  gint round;

  for (round = -1; round < options->rounds; round++) {
    gint64 start = g_get_monotonic_time();
    double microseconds;

    for (row = 0; row < ROWS * ROWS; row++) {
      guint32 token;

      if (!gem_sampler_pick(sampler, logits + (gsize)(row % ROWS) * n, n, &token)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no token was drawn");
        return NULL;
      }
    }
    microseconds = (double)(g_get_monotonic_time() - start) / (ROWS * ROWS);
    if (round >= 0) {
      g_array_append_val(times, microseconds);
    }
    gem_bench_progress_step(progress, wanted->name);
  }
  return g_steal_pointer(&times);
}

static void
add_result(JsonBuilder *builder, const Shape *shape, const Case *measured, const GArray *times)
{
  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_string(builder, "logits", shape->name);
  gem_bench_json_add_double(builder, "temperature", measured->temperature);
  gem_bench_json_add_count(builder, "top_k", measured->top_k);
  gem_bench_json_add_double(builder, "top_p", measured->top_p);
  gem_bench_json_add_values(builder, "us", times);
  gem_bench_json_end_entry(builder);
}

static gboolean
measure_shape(const SamplingOptions *options,
              const Shape *shape,
              GemTable *table,
              JsonBuilder *builder,
              GemBenchChart *chart,
              GemBenchProgress *progress,
              GError **error)
{
  g_autofree float *logits = new_logits((gsize)options->vocabulary * ROWS, shape->deviation);
  gsize i;

  gem_bench_chart_add_series(chart, shape->name);
  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *label = g_strdup_printf("%s, %s logits", cases[i].name, shape->name);
    g_autoptr(GArray) times = measure_case(options, &cases[i], logits, progress, error);
    GemBenchSpread spread;

    if (times == NULL) {
      return FALSE;
    }
    spread = gem_bench_spread(times);
    gem_bench_table_add(table, label, "us", times, 1);
    gem_bench_chart_add_bar(chart, cases[i].name, spread.median, spread.min, spread.max);
    add_result(builder, shape, &cases[i], times);
  }
  return TRUE;
}

static gboolean
measure(const GemBenchCommand *command, const SamplingOptions *options, GError **error)
{
  g_autofree char *machine = gem_limits_cpu_get_name();
  g_autofree char *title = g_strdup_printf("a token of %d", options->vocabulary);
  g_autoptr(JsonBuilder) builder = gem_bench_json_begin(command, &options->common, "machine", machine);
  g_autoptr(GemTable) table = gem_bench_table_new();
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars(title, "us: median, min to max");
  g_autoptr(GemBenchProgress) progress =
      gem_bench_progress_new(G_N_ELEMENTS(shapes) * G_N_ELEMENTS(cases) * (guint)(1 + options->rounds));
  gsize i;

  gem_bench_json_add_count(builder, "vocabulary", (guint64)options->vocabulary);
  gem_bench_json_begin_list(builder, "results");
  for (i = 0; i < G_N_ELEMENTS(shapes); i++) {
    if (!measure_shape(options, &shapes[i], table, builder, chart, progress, error)) {
      return FALSE;
    }
  }
  g_clear_pointer(&progress, gem_bench_progress_free);
  gem_bench_json_end_list(builder);
  gem_output_printf("%s\n", title);
  gem_table_print(table);
  return gem_bench_json_finish(builder, &options->common, error) &&
         (options->common.chart == NULL || gem_bench_chart_write(chart, options->common.chart, error));
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(SamplingOptions) options = {.vocabulary = 12800, .rounds = 9};
  const GOptionEntry own[] = {
      {"vocabulary", 'v', 0, G_OPTION_ARG_INT, &options.vocabulary, "Tokens to choose from (12800)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options.rounds, "Rounds, after one to warm up (9)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autoptr(GError) error = NULL;

  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options.common, &error) ||
      !gem_bench_check_range("vocabulary", options.vocabulary, 1, MOST_VOCABULARY, &error) ||
      !gem_bench_check_range("rounds", options.rounds, 1, MOST_ROUNDS, &error) ||
      !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_sampling = {
    .name = "sampling",
    .arguments = "",
    .summary = "Tell how long the choice of a token from its logits takes",
    .details =
        "Draws tokens from normally distributed logits, steep ones (deviation 4) and flat ones (0.5), each\n"
        "way of sampling alone; a round is 256 draws, whose mean counts.\n\n"
        "Examples:\n"
        "  gem-bench sampling\n"
        "  gem-bench sampling --vocabulary 128000 --json sampling.json --chart sampling.svg",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
