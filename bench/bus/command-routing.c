/* gem-bench routing: does the router send texts where they belong? */
#include "bench/bus/gem-bench-routing.h"

typedef struct {
  GemBenchOptions common;
  char *sentences, *data;
  gint least, limit, seed;
} RoutingOptions;

static void
routing_options_clear(RoutingOptions *options)
{
  gem_bench_options_clear(&options->common);
  g_free(options->sentences);
  g_free(options->data);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RoutingOptions, routing_options_clear)

static gboolean
parse(const GemBenchCommand *self, char **argv, RoutingOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"sentences", 0, 0, G_OPTION_ARG_FILENAME, &options->sentences,
       "Lines of a domain, a tab and a sentence that belongs there", "FILE"},
      {"least", 0, 0, G_OPTION_ARG_INT, &options->least,
       "With --sentences: fail when a domain has fewer routed there (8)", "N"},
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &options->data, "Folder with manifest.json, tasks/ and corpus/",
       "DIR"},
      {"limit", 0, 0, G_OPTION_ARG_INT, &options->limit, "With --data: texts of each source; 0: all (200)",
       "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT, &options->seed, "With --data: draws the texts (1)", "N"},
      G_OPTION_ENTRY_NULL,
  };

  options->least = 8;
  options->limit = 200;
  options->seed = 1;
  if (!gem_bench_parse(self, (const GOptionEntry *const[]){own, NULL}, argv, &options->common, error) ||
      !gem_bench_check_range("least", options->least, 0, G_MAXINT, error) ||
      !gem_bench_check_range("limit", options->limit, 0, G_MAXINT, error) ||
      !gem_bench_check_range("seed", options->seed, 0, G_MAXINT, error)) {
    return FALSE;
  }
  if ((options->sentences == NULL) == (options->data == NULL)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "either --sentences FILE or --data DIR is wanted");
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(RoutingOptions) options = {0};
  g_autoptr(GError) error = NULL;
  GemExit status = GEM_EXIT_OK;
  gboolean measured = parse(self, argv, &options, &error);

  if (measured && options.sentences != NULL) {
    measured = gem_bench_routing_sentences(self, &options.common, options.sentences, (guint)options.least,
                                           &status, &error);
  } else if (measured) {
    measured = gem_bench_routing_documents(self, &options.common, options.data, (guint)options.limit,
                                           (guint)options.seed, &error);
  }
  return measured ? status : gem_bench_complain(error);
}

const GemBenchCommand gem_bench_routing = {
    .name = "routing",
    .arguments = "--sentences FILE | --data DIR",
    .summary = "Tell how often texts are routed to their domain",
    .details =
        "With --sentences, by domain: sentences of which the domain runs most of the tokens that left\n"
        "general, and more than half of all tokens; then the misses of the first kind. With --data: the "
        "test\n"
        "inputs of each task, and the held-out documents of corpus/general.txt. A document's pathway is that "
        "of\n"
        "most of its routed tokens; one without any, or with two equal pathways, counts as wrong. The "
        "closing\n"
        "line is over the subject domains: all but general and adaptive.\n\n"
        "Examples:\n"
        "  gem-bench routing --sentences tests/data/routing-sentences.tsv\n"
        "  gem-bench routing --data ~/gem-data --limit 50 --json routing.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
