/* gem-bench cancel: how soon a turn that is cancelled is over. */
#include "bench/bus/gem-bench-cancel.h"
#include "bench/bus/gem-bench-prompt.h"
#include "bench/bus/gem-bench-service.h"
#include "bench/gem-bench-json.h"
#include "bench/gem-bench-table.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"

#define MOST_TOKENS 1000000
#define MOST_ROUNDS 10000

typedef struct {
  GemBenchOptions common;
  GemRunArguments run;
  gint prompt_tokens, tokens, rounds;
} CancelOptions;

static void
cancel_options_clear(CancelOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CancelOptions, cancel_options_clear)

static double
quantile(const GArray *values, double p)
{
  return gem_bench_quantile((const double *)(gpointer)values->data, values->len, p);
}

static void
report(const GArray *values, const char *what, JsonBuilder *builder)
{
  g_autofree char *name = g_strdup_printf("%s_ms", what);
  g_autofree char *late = g_strdup_printf("%s_ms_p95", what);

  if (values->len > 0) {
    gem_output_printf("95 of 100 cancelled in %s are over within: %.1f ms\n", what, quantile(values, 0.95));
  }
  gem_bench_json_add_values(builder, name, values);
  gem_bench_json_add_double(builder, late, quantile(values, 0.95));
}

static gboolean
measure_service(const CancelOptions *options,
                GVariant *session,
                GemBenchCancelTimes *times,
                char **ret_service,
                GError **error)
{
  g_autoptr(GemRemote) remote = gem_remote_open(&options->common.bus, error);
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(2 * (guint)options->rounds);
  g_autofree char *prompt = NULL;
  GemBenchCancelPlan plan = {.session = session, .tokens = (guint)options->tokens};

  prompt = remote == NULL ? NULL : gem_bench_make_prompt(remote, (guint)options->prompt_tokens, error);
  if (prompt == NULL) {
    return FALSE;
  }
  plan.prompt = prompt;
  if (!gem_bench_cancel_run(remote, &plan, (guint)options->rounds, progress, times, error)) {
    return FALSE;
  }
  *ret_service = gem_bench_describe_service(remote, error);
  return *ret_service != NULL;
}

static gboolean
measure(const GemBenchCommand *command, const CancelOptions *options, GError **error)
{
  GVariant *given = gem_run_arguments_to_variant(&options->run, error);
  g_autoptr(GVariant) session = given == NULL ? NULL : g_variant_ref_sink(given);
  g_auto(GemBenchCancelTimes) times = {0};
  g_autoptr(GemTable) table = gem_bench_table_new();
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *service = NULL;

  gem_bench_cancel_times_init(&times);
  if (session == NULL || !measure_service(options, session, &times, &service, error)) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, "service", service);
  gem_output_printf("%s; from Cancel to the end of the turn, %u in prefill, %u in decoding\n", service,
                    times.prefill->len, times.decode->len);
  gem_bench_table_add(table, "prefill", "ms", times.prefill, 1);
  gem_bench_table_add(table, "decode", "ms", times.decode, 1);
  gem_table_print(table);
  report(times.prefill, "prefill", builder);
  report(times.decode, "decode", builder);
  return gem_bench_json_finish(builder, &options->common, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, CancelOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"prompt-tokens", 'p', 0, G_OPTION_ARG_INT, &options->prompt_tokens,
       "Length of the prompt, at most (1024)", "N"},
      {"tokens", 'n', 0, G_OPTION_ARG_INT, &options->tokens, "Length of an answer, at most (256)", "N"},
      {"rounds", 'r', 0, G_OPTION_ARG_INT, &options->rounds, "Turns of each kind (100)", "N"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  options->prompt_tokens = 1024;
  options->tokens = 256;
  options->rounds = 100;
  return gem_bench_parse(self, (const GOptionEntry *const[]){own, run, NULL}, argv, &options->common,
                         error) &&
         gem_bench_check_range("prompt-tokens", options->prompt_tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("tokens", options->tokens, 1, MOST_TOKENS, error) &&
         gem_bench_check_range("rounds", options->rounds, 1, MOST_ROUNDS, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(CancelOptions) options = {0};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_cancel = {
    .name = "cancel",
    .arguments = "",
    .summary = "Tell how soon a turn that is cancelled is over",
    .details = "Turns one after the other, each cancelled: some while the prompt is read, at moments spread "
               "over the\n"
               "time that it takes, others within 20 ms after the first byte of the answer. The time is that "
               "from the\n"
               "call of Cancel to Finished and the end of the pipe, as a client sees it. A turn that ends by "
               "itself\n"
               "before counts nothing.\n\n"
               "Examples:\n"
               "  gem-bench cancel\n"
               "  gem-bench cancel -p 1900 -r 200 --json cancel.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
