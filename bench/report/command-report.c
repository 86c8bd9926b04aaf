#include "bench/gem-bench-command.h"
#include "bench/gem-bench-file.h"
#include "bench/report/gem-report-page.h"
#include "clients/gem-client/gem-client-output.h"

typedef struct {
  GemBenchOptions common;
  char *output;
} ReportOptions;

static void
report_options_clear(ReportOptions *options)
{
  gem_bench_options_clear(&options->common);
  g_clear_pointer(&options->output, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReportOptions, report_options_clear)

/* What was written goes nowhere half: the file is there whole or as it was. */
static gboolean
write_report(const char *path, const char *output, GError **error)
{
  g_autoptr(JsonObject) result = gem_report_result_read(path, error);
  g_autofree char *page = result == NULL ? NULL : gem_report_page_new(result);

  if (page == NULL) {
    return FALSE;
  }
  if (output == NULL) {
    gem_output_printf("%s", page);
    return TRUE;
  }
  return gem_bench_file_write(output, page, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(ReportOptions) options = {0};
  const GOptionEntry entries[] = {
      {"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.output,
       "Write the page to FILE (default: to the terminal)", "FILE"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};
  g_autoptr(GError) error = NULL;
  const char *path;

  if (!gem_bench_parse(self, groups, argv, &options.common, &error)) {
    return gem_bench_complain(error);
  }
  path = gem_bench_get_argument(&options.common, "result of gem-bench edge", &error);
  if (path == NULL || !write_report(path, options.output, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_report = {
    .name = "report",
    .arguments = "RESULT.json",
    .summary = "Draw a result of gem-bench edge as one HTML page",
    .details = "The page needs nothing else: no network, no fonts, no script from elsewhere. It is light or "
               "dark as its\n"
               "reader's programs ask for, and reads on a telephone.\n\n"
               "Example:\n"
               "  gem-bench report edge.json --output edge.html",
    .takes = GEM_BENCH_TAKES_NO_JSON,
    .run = run,
};
