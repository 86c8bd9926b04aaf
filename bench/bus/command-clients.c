/* gem-bench clients: how the service does with several clients at once. */
#include <math.h>

#include "bench/bus/gem-bench-prompt.h"
#include "bench/bus/gem-bench-streams.h"
#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"
#include "dbus/gem-error.h"

#define MOST_STREAMS 4096u
#define MOST_TOKENS  1000000
#define MOST_ROUNDS  10000

typedef struct {
  GemBenchOptions common;
  GemRunArguments run;
  char *streams;
  char *domains; /* NULL: all streams have what `run` says */
  gint prompt_tokens, tokens, rounds;
} ClientsOptions;

typedef enum {
  /* One a stream of each round. */
  READ,         /* tokens of the prompt */
  WRITTEN,      /* tokens of the answer */
  PREFILL_RATE, /* tokens a second, as the engine measured them */
  DECODE_RATE,  /* the same, of the answer */
  STREAM_RATE,  /* tokens a second that came out of the pipe, from the first byte to the end */
  FIRST_MS,     /* milliseconds from the call to the first byte */
  /* One a round. */
  TOTAL_RATE,    /* tokens a second of all streams, from the first byte of any to the end of the last */
  BUS_US,        /* microseconds a token that were not the engine's; of one stream alone */
  RESIDENT,      /* bytes of weights and caches */
  PROCESS_BYTES, /* bytes of the service's process */
  N_FIGURES,
} Figure;

static const char *const figure_names[N_FIGURES] = {
    [READ] = "prompt_tokens",
    [WRITTEN] = "written_tokens",
    [PREFILL_RATE] = "engine_prefill_tokens_per_second",
    [DECODE_RATE] = "engine_decode_tokens_per_second",
    [STREAM_RATE] = "stream_tokens_per_second",
    [FIRST_MS] = "first_byte_ms",
    [TOTAL_RATE] = "total_tokens_per_second",
    [BUS_US] = "bus_us_per_token",
    [RESIDENT] = "resident_bytes",
    [PROCESS_BYTES] = "process_bytes",
};

/* What so many streams at once gave. */
typedef struct {
  guint streams;
  GArray *values[N_FIGURES]; /* double */
} Figures;

static void
clients_options_clear(ClientsOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
  g_free(options->streams);
  g_free(options->domains);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ClientsOptions, clients_options_clear)

static void
figures_clear(gpointer data)
{
  Figures *figures = data;
  guint i;

  for (i = 0; i < N_FIGURES; i++) {
    g_array_unref(figures->values[i]);
  }
}

static Figures *
add_figures(GArray *all, guint streams)
{
  Figures figures = {.streams = streams};
  guint i;

  for (i = 0; i < N_FIGURES; i++) {
    figures.values[i] = g_array_new(FALSE, FALSE, sizeof(double));
  }
  g_array_append_val(all, figures);
  return &g_array_index(all, Figures, all->len - 1);
}

/* ---- a measurement ---- */

/* A figure that does not exist (x / 0) is left out. */
static void
note(Figures *figures, Figure figure, double value)
{
  if (isfinite(value)) {
    g_array_append_val(figures->values[figure], value);
  }
}

static void
note_stream(Figures *figures, const GemBenchStream *stream)
{
  note(figures, READ, stream->prompt_tokens);
  note(figures, WRITTEN, stream->written_tokens);
  note(figures, PREFILL_RATE, stream->prompt_tokens / stream->prefill_seconds);
  note(figures, DECODE_RATE, stream->written_tokens / stream->decode_seconds);
  note(figures, STREAM_RATE, stream->written_tokens / stream->write);
  note(figures, FIRST_MS, stream->first * 1e3);
}

static gboolean
run_round(GemRemote *remote,
          const GemBenchStreamsPlan *plan,
          GemBenchProgress *progress,
          Figures *figures,
          GError **error)
{
  g_autofree GemBenchStream *streams = g_new0(GemBenchStream, figures->streams);
  GemBenchStreamsTotal total = {0};
  guint i, written = 0;

  if (!gem_bench_streams_run(remote, plan, figures->streams, progress, streams, &total, error)) {
    return FALSE;
  }
  for (i = 0; i < figures->streams; i++) {
    note_stream(figures, &streams[i]);
    written += streams[i].written_tokens;
  }
  note(figures, TOTAL_RATE, written / total.write);
  if (figures->streams == 1) {
    /* With more of them it could not be told from waiting for the others. */
    double engine = streams[0].prefill_seconds + streams[0].decode_seconds;

    note(figures, BUS_US, (streams[0].whole - engine) * 1e6 / written);
  }
  note(figures, RESIDENT, (double)total.memory.resident);
  note(figures, PROCESS_BYTES, total.memory.process == 0 ? NAN : (double)total.memory.process);
  return TRUE;
}

static guint
count_turns(const GArray *counts, guint rounds)
{
  guint i, sum = 0;

  for (i = 0; i < counts->len; i++) {
    sum += g_array_index(counts, guint, i);
  }
  return sum * rounds;
}

/* Runs the counts one after the other into `all`. More streams than the quota of the service end it, in
 * `ret_refusal`; the first count must not. */
static gboolean
measure_counts(GemRemote *remote,
               const GemBenchStreamsPlan *plan,
               const GArray *counts,
               guint rounds,
               GArray *all,
               char **ret_refusal,
               GError **error)
{
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(count_turns(counts, rounds));
  guint i, round;

  for (i = 0; i < counts->len; i++) {
    Figures *figures = add_figures(all, g_array_index(counts, guint, i));

    for (round = 0; round < rounds; round++) {
      g_autoptr(GError) local = NULL;

      if (run_round(remote, plan, progress, figures, &local)) {
        continue;
      }
      if (i == 0 || !g_error_matches(local, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
      }
      g_dbus_error_strip_remote_error(local);
      *ret_refusal =
          g_strdup_printf("%u streams are more than the service takes: %s", figures->streams, local->message);
      g_array_set_size(all, i);
      return TRUE;
    }
  }
  return TRUE;
}

/* ---- what comes out ---- */

static double
median_of(const Figures *figures, Figure figure)
{
  return gem_bench_spread(figures->values[figure]).median;
}

static double
late_first(const Figures *figures)
{
  const GArray *values = figures->values[FIRST_MS];

  return gem_bench_quantile((const double *)(gpointer)values->data, values->len, 0.95);
}

static char *
format_figure(double value, int digits)
{
  return isfinite(value) ? g_strdup_printf("%.*f", digits, value) : g_strdup("-");
}

static char *
format_size(double bytes)
{
  return isfinite(bytes) ? gem_output_size((guint64)bytes) : g_strdup("-");
}

static void
add_row(GemTable *table, const Figures *figures)
{
  g_autofree char *streams = g_strdup_printf("%u", figures->streams);
  g_autofree char *read = format_figure(median_of(figures, READ), 0);
  g_autofree char *written = format_figure(median_of(figures, WRITTEN), 0);
  g_autofree char *total = format_figure(median_of(figures, TOTAL_RATE), 1);
  g_autofree char *stream = format_figure(median_of(figures, STREAM_RATE), 1);
  g_autofree char *prefill = format_figure(median_of(figures, PREFILL_RATE), 1);
  g_autofree char *decode = format_figure(median_of(figures, DECODE_RATE), 1);
  g_autofree char *first = format_figure(median_of(figures, FIRST_MS), 2);
  g_autofree char *late = format_figure(late_first(figures), 2);
  g_autofree char *bus = format_figure(median_of(figures, BUS_US), 1);
  g_autofree char *resident = format_size(median_of(figures, RESIDENT));
  g_autofree char *process = format_size(median_of(figures, PROCESS_BYTES));

  gem_table_add(table, -1,
                (const char *const[]){streams, read, written, total, stream, prefill, decode, first, late,
                                      bus, resident, process});
}

static void
add_json(JsonBuilder *builder, const Figures *figures)
{
  guint i;

  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_count(builder, "streams", figures->streams);
  for (i = 0; i < N_FIGURES; i++) {
    gem_bench_json_add_values(builder, figure_names[i], figures->values[i]);
  }
  gem_bench_json_add_double(builder, "first_byte_ms_p95", late_first(figures));
  gem_bench_json_end_entry(builder);
}

static void
report(const GArray *all, const char *refusal, JsonBuilder *builder)
{
  static const char *const headings[] = {"streams",     "read",          "written",       "tokens/s",
                                         "of a stream", "engine reads",  "engine writes", "first byte, ms",
                                         "p95, ms",     "bus, us/token", "resident",      "process",
                                         NULL};
  g_autoptr(GemTable) table = gem_table_new("rrrrrrrrrrrr", headings);
  guint i;

  gem_bench_json_begin_list(builder, "results");
  for (i = 0; i < all->len; i++) {
    add_row(table, &g_array_index(all, Figures, i));
    add_json(builder, &g_array_index(all, Figures, i));
  }
  gem_bench_json_end_list(builder);
  gem_table_print(table);
  if (refusal != NULL) {
    gem_output_printf("%s\n", refusal);
    gem_bench_json_add_string(builder, "refusal", refusal);
  }
}

static gboolean
draw_chart(const GArray *all, const char *title, const char *path, GError **error)
{
  static const struct {
    Figure figure;
    const char *name;
  } series[] = {{TOTAL_RATE, "all streams together"}, {STREAM_RATE, "each stream"}};
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_lines(title, "streams at once", "tokens/s", FALSE);
  gsize i;
  guint j;

  for (i = 0; i < G_N_ELEMENTS(series); i++) {
    gem_bench_chart_add_series(chart, series[i].name);
    for (j = 0; j < all->len; j++) {
      const Figures *figures = &g_array_index(all, Figures, j);

      gem_bench_chart_add_point(chart, figures->streams, median_of(figures, series[i].figure));
    }
  }
  return path == NULL || gem_bench_chart_write(chart, path, error);
}

/* ---- the command ---- */

static gboolean
add_session(const GemRunArguments *run, GPtrArray *sessions, GError **error)
{
  GVariant *session = gem_run_arguments_to_variant(run, error);

  if (session != NULL) {
    g_ptr_array_add(sessions, g_variant_ref_sink(session));
  }
  return session != NULL;
}

/* What the streams' sessions are, in turn: one for each of the domains, or the same for all. */
static GPtrArray *
make_sessions(const ClientsOptions *options, GError **error)
{
  g_autoptr(GPtrArray) sessions = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  g_auto(GStrv) domains = NULL;
  GemRunArguments run = options->run;
  guint i;

  if (options->domains == NULL) {
    return add_session(&run, sessions, error) ? g_steal_pointer(&sessions) : NULL;
  }
  domains = g_strsplit(options->domains, ",", -1);
  for (i = 0; domains[i] != NULL; i++) {
    run.domain = domains[i];
    if (!add_session(&run, sessions, error)) {
      return NULL;
    }
  }
  return g_steal_pointer(&sessions);
}

static gboolean
measure_service(const ClientsOptions *options,
                const GPtrArray *sessions,
                GArray *all,
                char **ret_service,
                char **ret_refusal,
                GError **error)
{
  g_autoptr(GArray) counts = gem_bench_parse_numbers("streams", options->streams, 1, MOST_STREAMS, error);
  g_autoptr(GemRemote) remote = counts == NULL ? NULL : gem_remote_open(&options->common.bus, error);
  g_autofree char *prompt = NULL;
  GemBenchStreamsPlan plan = {.sessions = sessions, .tokens = (guint)options->tokens};

  prompt = remote == NULL ? NULL : gem_bench_make_prompt(remote, (guint)options->prompt_tokens, error);
  if (prompt == NULL) {
    return FALSE;
  }
  plan.prompt = prompt;
  if (!measure_counts(remote, &plan, counts, (guint)options->rounds, all, ret_refusal, error)) {
    return FALSE;
  }
  *ret_service = gem_bench_describe_service(remote, error);
  return *ret_service != NULL;
}

static gboolean
measure(const GemBenchCommand *command, const ClientsOptions *options, GError **error)
{
  g_autoptr(GPtrArray) sessions = make_sessions(options, error);
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Figures));
  g_autofree char *service = NULL;
  g_autofree char *refusal = NULL;
  g_autoptr(JsonBuilder) builder = NULL;

  g_array_set_clear_func(all, figures_clear);
  if (sessions == NULL || !measure_service(options, sessions, all, &service, &refusal, error)) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, "service", service);
  gem_output_printf("%s; medians of %d rounds", service, options->rounds);
  if (options->domains != NULL) {
    gem_output_printf("; streams in turn: %s", options->domains);
    gem_bench_json_add_string(builder, "domains", options->domains);
  }
  gem_output_text("\n");
  report(all, refusal, builder);
  return gem_bench_json_finish(builder, &options->common, error) &&
         draw_chart(all, service, options->common.chart, error);
}

static gboolean
check_domains(const ClientsOptions *options, GError **error)
{
  if (options->domains == NULL) {
    return TRUE;
  }
  if (options->run.domain != NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--domain and --domains exclude each other");
    return FALSE;
  }
  if (*options->domains == '\0') {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--domains: a domain is wanted");
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse(const GemBenchCommand *self, char **argv, ClientsOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"streams", 0, 0, G_OPTION_ARG_STRING, &options->streams, "How many at once, one row each (1,2,4,8,16)",
       "N,N..."},
      {"prompt-tokens", 'p', 0, G_OPTION_ARG_INT, &options->prompt_tokens,
       "Length of the prompt, at most (64)", "N"},
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &options->tokens, "Length of an answer, at most (64)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options->rounds, "Rounds of each row (5)", "N"},
      {"domains", 0, 0, G_OPTION_ARG_FILENAME, &options->domains,
       "Pathways that the streams take in turn: each stream runs its own for every token", "DOMAIN,..."},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  options->prompt_tokens = 64;
  options->tokens = 64;
  options->rounds = 5;
  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, run, NULL}, argv, &options->common, error)) {
    return FALSE;
  }
  if (options->streams == NULL) {
    options->streams = g_strdup("1,2,4,8,16");
  }
  return check_domains(options, error) &&
         gem_bench_check_range("prompt-tokens", options->prompt_tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("tokens", options->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(ClientsOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_clients = {
    .name = "clients",
    .arguments = "",
    .summary = "Tell how fast the service reads and writes for one client and for many",
    .details =
        "So many turns at once, over one connection, each in a session of its own. tokens/s are those that\n"
        "came out of all pipes together, and out of one; what the engine says of the same turns stands\n"
        "beside them. The first byte's time runs from the call. What the bus, the pipe and the tokenizer\n"
        "cost a token is told for one stream. An answer may end before its limit. More streams than the\n"
        "service's MaxRequestsPerUser (8, see gemd.conf) are refused by it, and said so.\n"
        "--domains is for steps in which streams run pathways of their own, whatever the router would say:\n"
        "one with random weights sends next to no token to a domain. A stream with a pathway of its own is\n"
        "not read by the router, whose time is not in the figures then. A row of fewer streams than domains\n"
        "runs the first of them only; a pathway that is not in memory comes in during its first round.\n\n"
        "Examples:\n"
        "  gem-bench clients\n"
        "  gem-bench clients --streams 1,8 -p 256 -n 128 --domain legal --json clients.json --chart "
        "clients.svg\n"
        "  gem-bench clients --streams 1,2,8 --domains healthcare,legal",
    .takes = GEM_BENCH_TAKES_BUS | GEM_BENCH_TAKES_CHART,
    .run = run,
};
