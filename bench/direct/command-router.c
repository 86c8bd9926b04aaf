/* gem-bench router: how fast the router alone decides where tokens go. */
#include <math.h>

#include "bench/direct/gem-bench-router.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-progress.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"

#define MOST_TOKENS 500000
#define MOST_ROUNDS 100000

typedef struct {
  GemBenchOptions common;
  GemBenchModelOptions model;
  gint prompt_tokens, tokens, rounds;
  double peak; /* Gop/s; 0: not told */
} RouterOptions;

/* What was measured: doubles, one a round, and the times that they come from. */
typedef struct {
  GemBenchRouterInfo info;
  GemBenchRouterTimes *times;
  GArray *turn_rate; /* tokens a second */
  GArray *token_rate;
} Figures;

static void
router_options_clear(RouterOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_bench_model_options_clear(&options->model);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RouterOptions, router_options_clear)

static void
figures_init(Figures *figures)
{
  figures->times = gem_bench_router_times_new();
  figures->turn_rate = g_array_new(FALSE, FALSE, sizeof(double));
  figures->token_rate = g_array_new(FALSE, FALSE, sizeof(double));
}

static void
figures_clear(Figures *figures)
{
  gem_bench_router_info_clear(&figures->info);
  gem_bench_router_times_free(figures->times);
  g_array_unref(figures->turn_rate);
  g_array_unref(figures->token_rate);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Figures, figures_clear)

/* ---- a measurement ---- */

/* Tokens a second of the round whose times came last. */
static void
add_rates(const RouterOptions *options, Figures *figures)
{
  const GArray *turn = figures->times->turn, *token = figures->times->token;
  double rate = options->prompt_tokens * 1e6 / g_array_index(turn, double, turn->len - 1), sum = 0;
  gint i;

  g_array_append_val(figures->turn_rate, rate);
  for (i = 0; i < options->tokens; i++) {
    sum += g_array_index(token, double, token->len - 1 - (guint)i);
  }
  if (options->tokens > 0) {
    rate = options->tokens * 1e6 / sum;
    g_array_append_val(figures->token_rate, rate);
  }
}

static gboolean
measure_rounds(GemBenchModel *model, const RouterOptions *options, Figures *figures, GError **error)
{
  guint prompt = (guint)options->prompt_tokens, tokens = (guint)options->tokens;
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new((guint)options->rounds);
  gint i;

  if (!gem_bench_router_inspect(model, &figures->info, error) ||
      !gem_bench_router_run(model, prompt, tokens, NULL, error)) {
    return FALSE;
  }
  for (i = 0; i < options->rounds; i++) {
    if (!gem_bench_router_run(model, prompt, tokens, figures->times, error)) {
      return FALSE;
    }
    add_rates(options, figures);
    gem_bench_progress_step(progress, "rounds");
  }
  return TRUE;
}

/* ---- what comes out ---- */

/* Billions of operations a second that the matrix products of a turn make at the median speed; a multiply-add
 * is two. */
static double
product_rate(const Figures *figures)
{
  return 2.0 * (double)figures->info.weights * gem_bench_spread(figures->turn_rate).median / 1e9;
}

static double
peak_share(const RouterOptions *options, const Figures *figures)
{
  return options->peak > 0 ? product_rate(figures) / options->peak : NAN;
}

static double
late_token(const Figures *figures)
{
  const GArray *token = figures->times->token;

  return gem_bench_quantile((const double *)(gpointer)token->data, token->len, 0.95);
}

static void
print_notes(const RouterOptions *options, const Figures *figures)
{
  g_autofree char *resident = gem_output_size(figures->info.resident);
  g_autofree char *state = gem_output_size(figures->info.state);

  if (options->tokens > 0) {
    gem_output_printf("95 of 100 single tokens within: %.0f us\n", late_token(figures));
  }
  gem_output_printf("resident: %s, and %s a sequence\n", resident, state);
  gem_output_printf("matrix products: %.1f million operations a token, %.1f Gop/s in a turn\n",
                    2.0 * (double)figures->info.weights / 1e6, product_rate(figures));
  if (options->peak > 0) {
    gem_output_printf("share of %g Gop/s: %.1f %%\n", options->peak, 100 * peak_share(options, figures));
  }
}

static void
print_table(const RouterOptions *options, const Figures *figures)
{
  g_autoptr(GemTable) table = gem_bench_table_new();
  g_autofree char *turn = g_strdup_printf("turn of %d", options->prompt_tokens);
  const GemRouterShape *shape = &figures->info.shape;

  gem_output_printf("router: %u layers x %u, %u heads, feed-forward %u, window %u, %u domains; %s, "
                    "embedding %u x %u %s\n",
                    shape->layers, shape->width, shape->heads, shape->ffn, shape->window, shape->n_domains,
                    figures->info.types, shape->vocab, shape->embedding, figures->info.embedding_type);
  gem_bench_table_add(table, turn, "tokens/s", figures->turn_rate, 1);
  gem_bench_table_add(table, turn, "us", figures->times->turn, 1);
  gem_bench_table_add(table, "token by token", "tokens/s", figures->token_rate, 1);
  gem_bench_table_add(table, "single token", "us", figures->times->token, 1);
  gem_table_print(table);
  print_notes(options, figures);
}

static void
add_json(const RouterOptions *options, const Figures *figures, JsonBuilder *builder)
{
  const GemBenchRouterInfo *info = &figures->info;
  const GArray *token = figures->times->token;

  gem_bench_json_add_count(builder, "prompt_tokens", (guint64)options->prompt_tokens);
  gem_bench_json_add_count(builder, "tokens", (guint64)options->tokens);
  gem_bench_json_add_count(builder, "layers", info->shape.layers);
  gem_bench_json_add_count(builder, "width", info->shape.width);
  gem_bench_json_add_count(builder, "heads", info->shape.heads);
  gem_bench_json_add_count(builder, "feed_forward", info->shape.ffn);
  gem_bench_json_add_count(builder, "window", info->shape.window);
  gem_bench_json_add_count(builder, "domains", info->shape.n_domains);
  gem_bench_json_add_string(builder, "types", info->types);
  gem_bench_json_add_string(builder, "embedding_type", info->embedding_type);
  gem_bench_json_add_values(builder, "turn_tokens_per_second", figures->turn_rate);
  gem_bench_json_add_values(builder, "turn_us", figures->times->turn);
  gem_bench_json_add_values(builder, "single_tokens_per_second", figures->token_rate);
  gem_bench_json_add_double(builder, "single_token_us_min", gem_bench_spread(token).min);
  gem_bench_json_add_double(builder, "single_token_us_median", gem_bench_spread(token).median);
  gem_bench_json_add_double(builder, "single_token_us_p95", late_token(figures));
  gem_bench_json_add_double(builder, "single_token_us_max", gem_bench_spread(token).max);
  gem_bench_json_add_count(builder, "resident_bytes", info->resident);
  gem_bench_json_add_count(builder, "state_bytes", info->state);
  gem_bench_json_add_count(builder, "operations_per_token", 2 * info->weights);
  gem_bench_json_add_double(builder, "gop_per_second", product_rate(figures));
  gem_bench_json_add_double(builder, "peak_share", peak_share(options, figures));
}

static gboolean
draw_chart(const RouterOptions *options, const Figures *figures, const char *title, GError **error)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars(title, "tokens/s: median, min to max");
  g_autofree char *turn = g_strdup_printf("turn of %d", options->prompt_tokens);

  gem_bench_chart_add_series(chart, "router");
  gem_bench_chart_add_spread(chart, turn, figures->turn_rate);
  gem_bench_chart_add_spread(chart, "token by token", figures->token_rate);
  return options->common.chart == NULL || gem_bench_chart_write(chart, options->common.chart, error);
}

/* ---- the command ---- */

static gboolean
measure(const GemBenchCommand *command, const RouterOptions *options, GError **error)
{
  GemBenchModelWish wish = {
      .path = gem_bench_get_argument(&options->common, "MODEL", error),
      .keep_files = TRUE,
  };
  g_autoptr(GemBenchModel) model =
      wish.path == NULL ? NULL : gem_bench_model_open(&options->model, &wish, error);
  g_auto(Figures) figures = {0};
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *description = NULL;

  figures_init(&figures);
  if (model == NULL || !measure_rounds(model, options, &figures, error)) {
    return FALSE;
  }
  description = gem_bench_model_describe(model);
  builder = gem_bench_json_begin(command, &options->common, "model", model->files->name);
  gem_bench_model_add_json(model, builder);
  gem_output_printf("%s\n", description);
  print_table(options, &figures);
  add_json(options, &figures, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         draw_chart(options, &figures, description, error);
}

static gboolean
check_options(const RouterOptions *options, GError **error)
{
  if (!gem_bench_check_range("prompt-tokens", options->prompt_tokens, 1, MOST_TOKENS, error) ||
      !gem_bench_check_range("tokens", options->tokens, 0, MOST_TOKENS, error) ||
      !gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error)) {
    return FALSE;
  }
  if (!(options->peak >= 0) || isinf(options->peak)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--peak: a number of Gop/s is wanted");
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(RouterOptions) options = {.prompt_tokens = 128, .tokens = 32, .rounds = 9};
  const GOptionEntry own[] = {
      {"prompt-tokens", 'p', 0, G_OPTION_ARG_INT, &options.prompt_tokens, "Tokens of a whole turn (128)",
       "N"},
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &options.tokens, "Single tokens after it; 0 routes none (32)",
       "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options.rounds, "Rounds, after one to warm up (9)", "N"},
      {"peak", 0, 0, G_OPTION_ARG_DOUBLE, &options.peak,
       "Tell which share of this speed of arithmetic the matrix products reach", "Gop/s"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *model = gem_bench_model_entries(&options.model);
  g_autoptr(GError) error = NULL;

  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, model, NULL}, argv, &options.common,
                       &error) ||
      !check_options(&options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_router = {
    .name = "router",
    .arguments = "MODEL",
    .summary = "Tell how fast the router alone decides where tokens go",
    .details =
        "Routes a turn of random tokens, as of a prompt, in which tokens see later ones, and then single\n"
        "tokens, as in writing, through a model's router in this process; each round in a new sequence.\n"
        "gem-train init makes models of random weights: the router of gem-80m is 6 layers of 256 units.\n\n"
        "Examples:\n"
        "  gem-bench router ~/models/gem-mini\n"
        "  gem-train init --preset gem-80m --type Q6_K --output random\n"
        "  gem-bench router random -p 128 -r 21 --peak 1075 --json router.json --chart router.svg",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
