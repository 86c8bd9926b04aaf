/* gem-bench speed: how fast the engine reads and writes, run in this process. */
#include <math.h>
#include <string.h>

#include "bench/direct/gem-bench-model.h"
#include "bench/direct/gem-bench-sequence.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-process.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"

#define MOST_TOKENS 500000
#define MOST_ROUNDS 10000
#define MOST_BLOCK  4096
#define WARM_TOKENS 8u

typedef struct {
  GemBenchOptions common;
  GemBenchModelOptions model;
  gint prompt_tokens, tokens, depth, rounds, block, clusters;
  char *attention, *domain;
  gboolean route;
  double bandwidth; /* GB/s; 0: not told */
} SpeedOptions;

/* What was measured: a double a round, but for what stands otherwise. */
typedef struct {
  GArray *load;                 /* milliseconds */
  GArray *prefill;              /* tokens a second; empty without a prompt */
  GArray *decode;               /* tokens a second; empty without an answer */
  GArray *token;                /* microseconds, one for each token of each round */
  guint64 peak;                 /* bytes */
  double read;                  /* bytes of weights that a token of the answer read; NAN without an answer */
  guint rows[GEM_MAX_PATHWAYS]; /* of the answers' tokens, as GemSequenceState has them */
  guint asked;                  /* of the same tokens, those that the router has read */
} Figures;

static void
speed_options_clear(SpeedOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_bench_model_options_clear(&options->model);
  g_free(options->attention);
  g_free(options->domain);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpeedOptions, speed_options_clear)

static void
figures_clear(Figures *figures)
{
  g_array_unref(figures->load);
  g_array_unref(figures->prefill);
  g_array_unref(figures->decode);
  g_array_unref(figures->token);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Figures, figures_clear)

static void
figures_init(Figures *figures)
{
  GArray **const arrays[] = {&figures->load, &figures->prefill, &figures->decode, &figures->token};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(arrays); i++) {
    *arrays[i] = g_array_new(FALSE, FALSE, sizeof(double));
  }
}

static void
note(GArray *values, double value)
{
  g_array_append_val(values, value);
}

/* ---- a measurement ---- */

static double
seconds_since(gint64 started)
{
  return (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC;
}

/* Whether the router has read the token that was appended last. */
static gboolean
is_asked(const GemSequenceState *state)
{
  return state->asked->data[state->asked->len - 1] != GEM_ASKED_NOT;
}

/* One answer. */
static gboolean
write_answer(GemBenchSequence *sequence, const SpeedOptions *options, Figures *figures, GError **error)
{
  const guint *rows = sequence->state->rows_by_pathway;
  guint before[GEM_MAX_PATHWAYS];
  double seconds = 0;
  guint pathway;
  gint i;

  memcpy(before, rows, sizeof before);
  for (i = 0; i < options->tokens; i++) {
    gint64 started = g_get_monotonic_time();

    if (!gem_bench_sequence_decode(sequence, error)) {
      return FALSE;
    }
    note(figures->token, seconds_since(started) * 1e6);
    seconds += g_array_index(figures->token, double, figures->token->len - 1) / 1e6;
    figures->asked += is_asked(sequence->state) ? 1 : 0;
  }
  note(figures->decode, options->tokens / seconds);
  for (pathway = 0; pathway < GEM_MAX_PATHWAYS; pathway++) {
    figures->rows[pathway] += rows[pathway] - before[pathway];
  }
  return TRUE;
}

/* One prompt and one answer, both after `depth` tokens. */
static gboolean
run_round(GemBenchSequence *sequence, const SpeedOptions *options, Figures *figures, GError **error)
{
  gint64 started = g_get_monotonic_time();

  if (options->prompt_tokens > 0) {
    if (!gem_bench_sequence_prefill(sequence, (guint)options->prompt_tokens, error)) {
      return FALSE;
    }
    note(figures->prefill, options->prompt_tokens / seconds_since(started));
    if (!gem_bench_sequence_rewind(sequence, error)) {
      return FALSE;
    }
  }
  if (options->tokens > 0 && !write_answer(sequence, options, figures, error)) {
    return FALSE;
  }
  return gem_bench_sequence_rewind(sequence, error);
}

/* Touches what the rounds will use: weights, scratch, cache. */
static gboolean
warm_up(GemBenchSequence *sequence, const SpeedOptions *options, GError **error)
{
  guint i, tokens = MIN(WARM_TOKENS, (guint)options->tokens);

  if ((options->depth > 0 && !gem_bench_sequence_prefill(sequence, (guint)options->depth, error)) ||
      !gem_bench_sequence_set_mark(sequence, error)) {
    return FALSE;
  }
  if (options->prompt_tokens > 0 &&
      !gem_bench_sequence_prefill(sequence, (guint)options->prompt_tokens, error)) {
    return FALSE;
  }
  if (!gem_bench_sequence_rewind(sequence, error)) {
    return FALSE;
  }
  for (i = 0; i < tokens; i++) {
    if (!gem_bench_sequence_decode(sequence, error)) {
      return FALSE;
    }
  }
  return gem_bench_sequence_rewind(sequence, error);
}

/* Calls of gem_step_run in a measurement. */
static guint
count_steps(const SpeedOptions *options)
{
  guint block = (guint)options->block;
  guint prefill = ((guint)options->prompt_tokens + block - 1) / block;
  guint depth = ((guint)options->depth + block - 1) / block;
  guint rounds = (guint)options->rounds;

  return depth + (rounds + 1) * prefill + rounds * (guint)options->tokens +
         MIN(WARM_TOKENS, (guint)options->tokens);
}

/* Bytes of weights a token of the answers. */
static double
bytes_read(const GemBenchModel *model, const Figures *figures)
{
  const guint *rows = figures->rows;
  double others = (double)model->weights.router * figures->asked;
  guint i, all = 0;

  for (i = 0; i <= model->files->shape.n_domains; i++) {
    all += rows[i];
    others += i < model->files->shape.n_domains ? (double)model->weights.domains[i] * rows[i] : 0;
  }
  return (double)model->weights.general + others / all;
}

/* At the end of a round. */
static guint
count_context(const SpeedOptions *options)
{
  return (guint)options->depth + MAX((guint)options->prompt_tokens, (guint)options->tokens);
}

/* As the service, which ContextTokens lets do the same, the engine runs on where the model no longer makes
 * sense. */
static void
warn_of_context(const SpeedOptions *options, const GemBenchModel *model)
{
  guint made_for = model->files->shape.context;

  if (count_context(options) > made_for) {
    gem_output_complain(
        "%u tokens, and %s was made for a context of %u: what it writes means nothing there, its speed is "
        "measured all the same",
        count_context(options), model->files->name, made_for);
  }
}

static GemBenchModel *
open_model(const SpeedOptions *options, const char *path, Figures *figures, GError **error)
{
  GemBenchModelWish wish = {
      .path = path,
      .attention = options->attention,
      .clusters = (guint)options->clusters,
      .context = count_context(options),
  };
  g_autoptr(GemBenchModel) model = gem_bench_model_open(&options->model, &wish, error);

  if (model == NULL) {
    return NULL;
  }
  note(figures->load, model->load_seconds * 1e3);
  return g_steal_pointer(&model);
}

/* The router reads every token, and none runs where it says. */
static gboolean
is_overruled(const SpeedOptions *options)
{
  return options->route && options->domain != NULL;
}

/* A sequence whose tokens are routed as the options say; every pathway that it may want is in memory. */
static GemBenchSequence *
make_sequence(GemBenchModel *model, const SpeedOptions *options, GError **error)
{
  const char *domain = options->domain != NULL ? options->domain : "general";
  GemRouting routing = {.forced = !options->route};
  GemBenchSequence *sequence;
  guint8 route;

  if (is_overruled(options) && model->runtime->router == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "%s has no router", model->files->name);
    return NULL;
  }
  if ((options->route && !gem_bench_model_page_in_all(model, error)) ||
      !gem_bench_model_find_route(model, domain, &route, error)) {
    return NULL;
  }
  routing.route = route;
  sequence = gem_bench_sequence_new(model->runtime, &routing, (guint)options->block);
  if (is_overruled(options)) {
    gem_bench_sequence_overrule(sequence, route);
  }
  return sequence;
}

/* The rounds on a model that is loaded. */
static gboolean
measure_rounds(GemBenchModel *model, const SpeedOptions *options, Figures *figures, GError **error)
{
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(count_steps(options));
  g_autoptr(GemBenchSequence) sequence = NULL;
  gint i;

  sequence = make_sequence(model, options, error);
  if (sequence == NULL) {
    return FALSE;
  }
  sequence->progress = progress;
  if (!warm_up(sequence, options, error)) {
    return FALSE;
  }
  for (i = 0; i < options->rounds; i++) {
    if (!run_round(sequence, options, figures, error)) {
      return FALSE;
    }
  }
  figures->read = options->tokens > 0 ? bytes_read(model, figures) : NAN;
  return TRUE;
}

/* ---- what comes out ---- */

/* Without a router --route changes nothing. */
static gboolean
has_choice(const SpeedOptions *options, const GemBenchModel *model)
{
  return options->route && model->runtime->router != NULL;
}

/* The one of every token, or what chooses it. */
static const char *
pathway_name(const SpeedOptions *options, const GemBenchModel *model)
{
  return options->domain != NULL ? options->domain : has_choice(options, model) ? "router" : "general";
}

static const char *
router_word(const SpeedOptions *options, const GemBenchModel *model)
{
  return is_overruled(options) ? "overruled" : has_choice(options, model) ? "chooses" : "off";
}

/* Share of the given bandwidth that the weights' reading takes at the median speed; NAN unless both are
 * known. */
static double
bandwidth_share(const SpeedOptions *options, const Figures *figures)
{
  if (options->bandwidth <= 0) {
    return NAN;
  }
  return figures->read * gem_bench_spread(figures->decode).median / (options->bandwidth * 1e9);
}

static void
print_table(const SpeedOptions *options, const Figures *figures)
{
  g_autoptr(GemTable) table = gem_bench_table_new();
  g_autofree char *prefill = g_strdup_printf("prefill %d", options->prompt_tokens);
  g_autofree char *decode = g_strdup_printf("decode %d", options->tokens);
  g_autofree char *peak = gem_output_size(figures->peak);
  double late = gem_bench_quantile((const double *)(gpointer)figures->token->data, figures->token->len, 0.95);

  gem_bench_table_add(table, "load", "ms", figures->load, 1);
  gem_bench_table_add(table, prefill, "tokens/s", figures->prefill, 1);
  gem_bench_table_add(table, decode, "tokens/s", figures->decode, 1);
  gem_bench_table_add(table, "token", "us", figures->token, 0);
  gem_table_print(table);
  gem_output_printf("peak resident: %s\n", figures->peak == 0 ? "not told by the system" : peak);
  if (options->tokens > 0) {
    g_autofree char *read = gem_output_size((guint64)figures->read);

    gem_output_printf("95 of 100 tokens written within: %.0f us\n", late);
    gem_output_printf("weights read a token: %s\n", read);
    if (options->bandwidth > 0) {
      gem_output_printf("share of %g GB/s: %.1f %%\n", options->bandwidth,
                        100 * bandwidth_share(options, figures));
    }
  }
}

static void
add_json(const SpeedOptions *options,
         const GemBenchModel *model,
         const Figures *figures,
         JsonBuilder *builder)
{
  const double *tokens = (const double *)(gpointer)figures->token->data;
  guint n = figures->token->len;

  gem_bench_json_add_string(builder, "pathway", pathway_name(options, model));
  gem_bench_json_add_string(builder, "router", router_word(options, model));
  gem_bench_json_add_count(builder, "prompt_tokens", (guint64)options->prompt_tokens);
  gem_bench_json_add_count(builder, "tokens", (guint64)options->tokens);
  gem_bench_json_add_count(builder, "depth", (guint64)options->depth);
  gem_bench_json_add_count(builder, "block", (guint64)options->block);
  gem_bench_json_add_values(builder, "load_ms", figures->load);
  gem_bench_json_add_values(builder, "prefill_tokens_per_second", figures->prefill);
  gem_bench_json_add_values(builder, "decode_tokens_per_second", figures->decode);
  gem_bench_json_add_double(builder, "token_us_median", gem_bench_median(tokens, n));
  gem_bench_json_add_double(builder, "token_us_p95", gem_bench_quantile(tokens, n, 0.95));
  gem_bench_json_add_count(builder, "peak_resident_bytes", figures->peak);
  gem_bench_json_add_double(builder, "weight_bytes_per_token", figures->read);
  gem_bench_json_add_double(builder, "bandwidth_share", bandwidth_share(options, figures));
}

static gboolean
draw_chart(const SpeedOptions *options, const Figures *figures, const char *title, GError **error)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars(title, "tokens/s: median, min to max");
  g_autofree char *prefill = g_strdup_printf("prefill %d", options->prompt_tokens);
  g_autofree char *decode = g_strdup_printf("decode %d", options->tokens);

  gem_bench_chart_add_series(chart, "speed");
  gem_bench_chart_add_spread(chart, prefill, figures->prefill);
  gem_bench_chart_add_spread(chart, decode, figures->decode);
  return options->common.chart == NULL || gem_bench_chart_write(chart, options->common.chart, error);
}

/* ---- the command ---- */

/* Loads the model once for the rounds, whose memory counts, and then again to see how long that takes. */
static gboolean
measure(const GemBenchCommand *command, const SpeedOptions *options, GError **error)
{
  const char *path = gem_bench_get_argument(&options->common, "MODEL", error);
  g_auto(Figures) figures = {0};
  g_autoptr(GemBenchModel) model = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *description = NULL;
  gint i;

  figures_init(&figures);
  model = path == NULL ? NULL : open_model(options, path, &figures, error);
  if (model == NULL) {
    return FALSE;
  }
  warn_of_context(options, model);
  if (!measure_rounds(model, options, &figures, error)) {
    return FALSE;
  }
  figures.peak = gem_bench_process_get_peak();
  description = gem_bench_model_describe(model);
  builder = gem_bench_json_begin(command, &options->common, "model", model->files->name);
  gem_bench_model_add_json(model, builder);
  for (i = 1; i < options->rounds; i++) {
    g_clear_pointer(&model, gem_bench_model_free);
    model = open_model(options, path, &figures, error);
    if (model == NULL) {
      return FALSE;
    }
  }
  gem_output_printf("%s; pathway %s%s, depth %d\n", description, pathway_name(options, model),
                    is_overruled(options) ? " (the router overruled)" : "", options->depth);
  print_table(options, &figures);
  add_json(options, model, &figures, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         draw_chart(options, &figures, description, error);
}

static gboolean
check_options(const SpeedOptions *options, GError **error)
{
  if (!gem_bench_check_range("prompt-tokens", options->prompt_tokens, 0, MOST_TOKENS, error) ||
      !gem_bench_check_range("tokens", options->tokens, 0, MOST_TOKENS, error) ||
      !gem_bench_check_range("depth", options->depth, 0, MOST_TOKENS, error) ||
      !gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error) ||
      !gem_bench_check_range("block", options->block, 1, MOST_BLOCK, error) ||
      !gem_bench_check_range("clusters", options->clusters, 0, G_MAXUINT8 + 1, error)) {
    return FALSE;
  }
  if (options->prompt_tokens == 0 && options->tokens == 0) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--prompt-tokens and --tokens are both 0: nothing to measure");
    return FALSE;
  }
  if (!(options->bandwidth >= 0) || isinf(options->bandwidth)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--bandwidth: a number of GB/s is wanted");
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse(const GemBenchCommand *self, char **argv, SpeedOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"prompt-tokens", 'p', 0, G_OPTION_ARG_INT, &options->prompt_tokens,
       "Tokens of a prompt; 0 reads none (512)", "N"},
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &options->tokens, "Tokens of an answer; 0 writes none (128)", "N"},
      {"depth", 'd', 0, G_OPTION_ARG_INT, &options->depth, "Tokens of context before either (0)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options->rounds, "Rounds, after one to warm up (5)", "N"},
      {"block", 'b', 0, G_OPTION_ARG_INT, &options->block, "Tokens of a prompt that run at a time (128)",
       "N"},
      {"domain", 0, 0, G_OPTION_ARG_FILENAME, &options->domain,
       "Run this pathway for every token (general: none)", "DOMAIN"},
      {"route", 0, 0, G_OPTION_ARG_NONE, &options->route,
       "Let the router choose each token's pathway; with --domain: let it read each token, no more", NULL},
      {"attention", 0, 0, G_OPTION_ARG_FILENAME, &options->attention, "scar or dense (the model's own)",
       "NAME"},
      {"clusters", 0, 0, G_OPTION_ARG_INT, &options->clusters,
       "Clusters of SCAR, one of the model's sets; 0: the first (0)", "K"},
      {"bandwidth", 0, 0, G_OPTION_ARG_DOUBLE, &options->bandwidth,
       "Tell which share of this memory bandwidth reading the weights takes", "GB/s"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *model = gem_bench_model_entries(&options->model);

  options->prompt_tokens = 512;
  options->tokens = 128;
  options->rounds = 5;
  options->block = 128;
  return gem_bench_parse(self, (const GOptionEntry *const[]){own, model, NULL}, argv, &options->common,
                         error) &&
         check_options(options, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(SpeedOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_speed = {
    .name = "speed",
    .arguments = "MODEL",
    .summary = "Tell how fast the engine reads and writes, without the service",
    .details =
        "MODEL is a model's folder, or any GGUF file of Llama architecture. Runs random tokens in this\n"
        "process, as the daemon's engine would, at temperature 0. Quote medians, of a machine that does\n"
        "nothing else. Weights are counted in the form of the model's files. A router with random weights\n"
        "sends next to no token to a domain: --route --domain NAME has it read every token, and runs NAME\n"
        "for every one, as for a text of that domain.\n\n"
        "Examples:\n"
        "  gem-bench speed ~/models/gem-mini\n"
        "  gem-bench speed llama.gguf -p 128 -n 128 -r 9 --bandwidth 42\n"
        "  gem-bench speed ~/models/gem-mini --route -d 1024 --json speed.json --chart speed.svg\n"
        "  gem-bench speed random --route --domain legal",
    .takes = GEM_BENCH_TAKES_CHART,
    .run = run,
};
