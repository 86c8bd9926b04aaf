/* gem-bench speed: how fast the service reads and writes, as a client sees it. */
#include <math.h>
#include <string.h>

#include "clients/gem-bench/gem-bench-command.h"
#include "clients/gem-bench/gem-bench-statistics.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"
#include "clients/gem-client/gem-client-turn.h"
#include "dbus/gem-names.h"

#define MOST_TOKENS 1000000
#define MOST_ROUNDS 10000

/* What a prompt is made of, again and again. */
static const char *const words[] = {"The",  "ship", "left",  "the", "harbour", "at",   "dawn", "and",
                                    "nine", "days", "later", "it",  "reached", "some", "far",  "shore."};

typedef struct {
  GemBenchOptions common;
  GemRunArguments run;
  gint prompt_tokens, tokens, rounds;
} SpeedOptions;

typedef enum {
  PROMPT_TOKENS,
  WRITTEN_TOKENS,
  PREFILL_RATE,  /* tokens a second */
  DECODE_RATE,   /* tokens a second */
  FIRST_SECONDS, /* from the call to the first byte of the answer */
  RESIDENT_BYTES,
  N_FIGURES,
} Figure;

static const char *const figure_names[N_FIGURES] = {
    [PROMPT_TOKENS] = "prompt_tokens",
    [WRITTEN_TOKENS] = "written_tokens",
    [PREFILL_RATE] = "prefill_tokens_per_second",
    [DECODE_RATE] = "decode_tokens_per_second",
    [FIRST_SECONDS] = "first_byte_seconds",
    [RESIDENT_BYTES] = "resident_bytes",
};

typedef struct {
  gint64 called, first; /* monotonic time; first 0: nothing came */
} Arrival;

static void
speed_options_clear(SpeedOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpeedOptions, speed_options_clear)

/* ---- a prompt of so many tokens ---- */

static char *
make_text(guint n_words)
{
  GString *text = g_string_new(NULL);
  guint i;

  for (i = 0; i < n_words; i++) {
    g_string_append_printf(text, "%s%s", i == 0 ? "" : " ", words[i % G_N_ELEMENTS(words)]);
  }
  return g_string_free(text, FALSE);
}

static gboolean
count_tokens(GemRemote *remote, const char *text, guint64 *ret_tokens, GError **error)
{
  g_autoptr(GVariant) reply =
      gem_remote_call_manager(remote, "CountTokens", g_variant_new("(s)", text), "(t)", error);

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(t)", ret_tokens);
  return TRUE;
}

/* The longest of these texts with at most `tokens` tokens; one word at least. Transfer full. */
static char *
make_prompt(GemRemote *remote, guint tokens, GError **error)
{
  guint low = 1, high = tokens + 1; /* a word is a token at least */

  while (high - low > 1) {
    guint middle = (low + high) / 2;
    g_autofree char *text = make_text(middle);
    guint64 n = strlen(text) > GEM_MAX_TEXT_BYTES ? G_MAXUINT64 : 0;

    if (n == 0 && !count_tokens(remote, text, &n, error)) {
      return NULL;
    }
    if (n <= tokens) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return make_text(low);
}

/* ---- a round ---- */

static gboolean
note_arrival(const char *bytes, gsize length, gpointer data)
{
  Arrival *arrival = data;

  if (arrival->first == 0) {
    arrival->first = g_get_monotonic_time();
  }
  return TRUE;
}

static gboolean
read_figures(
    GemRemote *remote, const GemTurnResult *turn, const Arrival *arrival, double *figures, GError **error)
{
  guint prompt = 0, written = 0;
  double prefill = 0, decode = 0;
  guint64 resident = 0;
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);

  if (properties == NULL) {
    return FALSE;
  }
  g_variant_lookup(properties, "ResidentBytes", "t", &resident);
  g_variant_lookup(turn->stats, "prompt_tokens", "u", &prompt);
  g_variant_lookup(turn->stats, "generated_tokens", "u", &written);
  g_variant_lookup(turn->stats, "prefill_seconds", "d", &prefill);
  g_variant_lookup(turn->stats, "tokens_per_second", "d", &decode);
  figures[PROMPT_TOKENS] = prompt;
  figures[WRITTEN_TOKENS] = written;
  figures[PREFILL_RATE] = prefill > 0 ? prompt / prefill : NAN;
  figures[DECODE_RATE] = decode > 0 ? decode : NAN;
  figures[FIRST_SECONDS] =
      arrival->first == 0 ? NAN : (double)(arrival->first - arrival->called) / G_USEC_PER_SEC;
  figures[RESIDENT_BYTES] = (double)resident;
  return TRUE;
}

/* A turn that did not run to an end of its own measures nothing. */
static gboolean
check_turn(const GemTurnResult *turn, GError **error)
{
  const char *reason = "", *message = "";

  if (!turn->interrupted && turn->stats != NULL && turn->reason <= GEM_TURN_CONTEXT) {
    return TRUE;
  }
  if (turn->stats != NULL) {
    g_variant_lookup(turn->stats, "reason", "&s", &reason);
    g_variant_lookup(turn->stats, "message", "&s", &message);
  }
  g_set_error(error, G_IO_ERROR, turn->interrupted ? G_IO_ERROR_CANCELLED : G_IO_ERROR_FAILED,
              "a turn was not finished: %s %s", turn->interrupted ? "interrupted" : reason, message);
  return FALSE;
}

/* One turn in a session of its own; `figures` [N_FIGURES]. */
static gboolean
run_round(GemRemote *remote, const SpeedOptions *options, const char *prompt, double *figures, GError **error)
{
  GVariant *run = gem_run_arguments_to_variant(&options->run, error);
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) closed = NULL;
  g_auto(GemTurnResult) turn = {0};
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);
  Arrival arrival = {0};
  const char *session;

  reply = run == NULL ? NULL
                      : gem_remote_call_manager(remote, "CreateSession", g_variant_new("(@a{sv})", run),
                                                "(o)", error);
  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(&o)", &session);
  g_variant_dict_insert(&dict, "raw", "b", TRUE);
  g_variant_dict_insert(&dict, "max_tokens", "u", (guint)options->tokens);
  arrival.called = g_get_monotonic_time();
  if (!gem_turn_run(remote, session, prompt, g_variant_dict_end(&dict), note_arrival, &arrival, &turn,
                    error) ||
      !check_turn(&turn, error) || !read_figures(remote, &turn, &arrival, figures, error)) {
    return FALSE;
  }
  closed = gem_remote_call(remote, session, GEM_SESSION_INTERFACE, "Close", NULL, "()", error);
  return closed != NULL;
}

/* ---- what comes out ---- */

/* The median of a figure over the rounds that have it; `all` [rounds][N_FIGURES]. */
static double
median_of(const double *all, guint rounds, Figure figure)
{
  g_autofree double *values = g_new(double, rounds);
  guint i, n = 0;

  for (i = 0; i < rounds; i++) {
    if (isfinite(all[i * N_FIGURES + figure])) {
      values[n++] = all[i * N_FIGURES + figure];
    }
  }
  return gem_bench_median(values, n);
}

static char *
format_figure(Figure figure, double value)
{
  if (!isfinite(value)) {
    return g_strdup("-");
  }
  switch (figure) {
  case PREFILL_RATE:
  case DECODE_RATE:
    return g_strdup_printf("%.1f", value);
  case FIRST_SECONDS:
    return g_strdup_printf("%.4f s", value);
  case RESIDENT_BYTES:
    return gem_output_size((guint64)value);
  case PROMPT_TOKENS:
  case WRITTEN_TOKENS:
  case N_FIGURES:
    break;
  }
  return g_strdup_printf("%g", value);
}

static void
add_row(GemTable *table, const char *name, const double *figures)
{
  const char *cells[N_FIGURES + 1] = {name};
  Figure figure;

  for (figure = 0; figure < N_FIGURES; figure++) {
    cells[figure + 1] = format_figure(figure, figures[figure]);
  }
  gem_table_add(table, -1, cells);
  for (figure = 0; figure < N_FIGURES; figure++) {
    g_free((char *)cells[figure + 1]);
  }
}

static void
add_json(JsonBuilder *builder, const double *figures)
{
  Figure figure;

  json_builder_begin_object(builder);
  for (figure = 0; figure < N_FIGURES; figure++) {
    gem_bench_json_add_double(builder, figure_names[figure], figures[figure]);
  }
  json_builder_end_object(builder);
}

static void
report(const double *all, guint rounds, JsonBuilder *builder)
{
  static const char *const headings[] = {
      "round",           "prompt tokens", "written tokens", "prefill tokens/s",
      "decode tokens/s", "first byte",    "resident",       NULL};
  g_autoptr(GemTable) table = gem_table_new("rrrrrrr", headings);
  double medians[N_FIGURES];
  guint i;

  for (i = 0; i < N_FIGURES; i++) {
    medians[i] = median_of(all, rounds, (Figure)i);
  }
  for (i = 0; i < rounds; i++) {
    g_autofree char *name = g_strdup_printf("%u", i + 1);

    add_row(table, name, all + (gsize)i * N_FIGURES);
  }
  add_row(table, "median", medians);
  gem_table_print(table);
  if (builder == NULL) {
    return;
  }
  json_builder_set_member_name(builder, "medians");
  add_json(builder, medians);
  json_builder_set_member_name(builder, "rounds");
  json_builder_begin_array(builder);
  for (i = 0; i < rounds; i++) {
    add_json(builder, all + (gsize)i * N_FIGURES);
  }
  json_builder_end_array(builder);
}

static gboolean
measure(const GemBenchCommand *command, const SpeedOptions *options, GError **error)
{
  guint i, rounds = (guint)options->rounds;
  g_autofree double *all = g_new0(double, (gsize)rounds *N_FIGURES);
  g_autoptr(GemRemote) remote = gem_remote_open(&options->common.bus, error);
  g_autofree char *prompt = remote == NULL ? NULL : make_prompt(remote, (guint)options->prompt_tokens, error);
  g_autofree char *service = NULL;
  g_autoptr(JsonBuilder) builder = NULL;

  if (prompt == NULL) {
    return FALSE;
  }
  for (i = 0; i < rounds; i++) {
    if (!run_round(remote, options, prompt, all + (gsize)i * N_FIGURES, error)) {
      return FALSE;
    }
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, service);
  gem_output_printf("%s\n", service);
  report(all, rounds, builder);
  return gem_bench_json_finish(builder, &options->common, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, SpeedOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"prompt-tokens", 0, 0, G_OPTION_ARG_INT, &options->prompt_tokens,
       "Length of the prompt, at most (256)", "N"},
      {"tokens", 0, 0, G_OPTION_ARG_INT, &options->tokens, "Length of the answer, at most (64)", "N"},
      {"rounds", 0, 0, G_OPTION_ARG_INT, &options->rounds, "Turns, each in a session of its own (5)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  options->prompt_tokens = 256;
  options->tokens = 64;
  options->rounds = 5;
  return gem_bench_parse(self, (const GOptionEntry *const[]){own, run, NULL}, argv, &options->common,
                         error) &&
         gem_bench_check_range("prompt-tokens", options->prompt_tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("tokens", options->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(SpeedOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? GEM_EXIT_INTERRUPTED
                                                                    : gem_exit_report(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_speed = {
    .name = "speed",
    .arguments = "",
    .summary = "Tell how fast the service reads and writes",
    .details =
        "The rates are the service's own, in tokens a second; the time to the first byte runs from the\n"
        "call to the first byte in the pipe. An answer may end before its limit. Quote the medians, on a\n"
        "machine that does nothing else.\n\n"
        "Examples:\n"
        "  gem-bench speed\n"
        "  gem-bench speed --prompt-tokens 1024 --tokens 128 --rounds 9 --domain legal --json speed.json",
    .run = run,
};
