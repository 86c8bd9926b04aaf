/* gem-bench adapt: what learning a domain gives, and what it costs the others. */
#include <math.h>
#include <string.h>

#include "bench/bus/gem-bench-held-out.h"
#include "bench/bus/gem-bench-lesson.h"
#include "bench/bus/gem-bench-service.h"
#include "bench/gem-bench-json.h"
#include "bench/questions/gem-bench-data.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

#define NEW_TEXT "(what is learned)"

typedef struct {
  GemBenchOptions common;
  char *data, *text, *domain;
  gint documents, kib;
  gboolean keep;
  GemBenchLesson lesson;
} AdaptOptions;

static void
adapt_options_clear(AdaptOptions *options)
{
  gem_bench_options_clear(&options->common);
  g_free(options->data);
  g_free(options->text);
  g_free(options->domain);
  g_free(options->lesson.name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AdaptOptions, adapt_options_clear)

/* ---- options ---- */

static gboolean
check(const AdaptOptions *options, GError **error)
{
  const char *complaint = NULL;

  if (options->data == NULL) {
    complaint = "--data is wanted";
  } else if (options->text != NULL && options->domain != NULL) {
    complaint = "--text and --domain exclude each other";
  }
  if (complaint != NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, complaint);
    return FALSE;
  }
  return gem_bench_check_range("kib", options->kib, 4, 65536, error) &&
         gem_bench_check_range("documents", options->documents, 1, GEM_BENCH_HELD_OUT_MOST, error);
}

static gboolean
parse(const GemBenchCommand *self, char **argv, AdaptOptions *options, GError **error)
{
  const GOptionEntry entries[] = {
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &options->data, "The folder with the corpora", "DIR"},
      {"text", 0, 0, G_OPTION_ARG_FILENAME, &options->text, "Learn from this file", "FILE"},
      {"domain", 0, 0, G_OPTION_ARG_STRING, &options->domain, "Learn from this corpus (adaptive)", "NAME"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &options->lesson.name, "What the domain is called (bench)", "NAME"},
      {"kib", 0, 0, G_OPTION_ARG_INT, &options->kib, "How much is learned from (1024)", "KIB"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &options->documents, "Held-out documents of each text (40)", "N"},
      {"seconds", 0, 0, G_OPTION_ARG_INT, &options->lesson.seconds,
       "How long it may take (290, or less where the service allows less)", "SECONDS"},
      {"keep", 0, 0, G_OPTION_ARG_NONE, &options->keep, "Leave the domain in service", NULL},
      G_OPTION_ENTRY_NULL,
  };

  if (!gem_bench_parse(self, (const GOptionEntry *const[]){entries, NULL}, argv, &options->common, error) ||
      !check(options, error)) {
    return FALSE;
  }
  if (options->text == NULL && options->domain == NULL) {
    options->domain = g_strdup("adaptive");
  }
  if (options->lesson.name == NULL) {
    options->lesson.name = g_strdup("bench");
  }
  return TRUE;
}

/* ---- the texts ---- */

static int
compare_names(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Corpora of the folder in the order of their names, but for the one that is learned. */
static gboolean
add_corpora(GemBenchHeldOut *held_out, const AdaptOptions *options, GError **error)
{
  g_autofree char *folder = g_build_filename(options->data, "corpus", NULL);
  g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, error);
  const char *name;

  if (dir == NULL) {
    return FALSE;
  }
  while ((name = g_dir_read_name(dir)) != NULL) {
    if (g_str_has_suffix(name, ".txt")) {
      g_ptr_array_add(files, g_strdup(name));
    }
  }
  g_ptr_array_sort(files, compare_names);
  for (guint i = 0; i < files->len; i++) {
    const char *file = files->pdata[i];
    g_autofree char *path = g_build_filename(folder, file, NULL);
    g_autofree char *domain = g_strndup(file, strlen(file) - strlen(".txt"));

    if (g_strcmp0(domain, options->domain) != 0 &&
        gem_bench_held_out_add(held_out, domain, path, (guint)options->documents, error) == NULL) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Documents that are not held out, until there are so many bytes. Transfer full. */
static GString *
make_lesson(const GPtrArray *all, gsize bytes)
{
  GString *lesson = g_string_new(NULL);

  for (guint i = 0; i < all->len && lesson->len < bytes; i++) {
    if (i % GEM_BENCH_DATA_HELD_OUT_EVERY != 0) {
      g_string_append_printf(lesson, "%s\n\n", (const char *)all->pdata[i]);
    }
  }
  return lesson;
}

/* ---- what comes out ---- */

/* What came of the learning. */
typedef struct {
  GemJobResult result;
  double seconds; /* of its caller */
  gsize bytes;    /* that were learned from */
} Outcome;

static void
outcome_clear(Outcome *outcome)
{
  gem_job_result_clear(&outcome->result);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static double
change_of(const GemBenchHeldOutText *text)
{
  return 100 * (gem_bench_held_out_perplexity(text, 1) / gem_bench_held_out_perplexity(text, 0) - 1);
}

static char *
format_perplexity(double value)
{
  return isnan(value) ? g_strdup("-") : g_strdup_printf("%.3f", value);
}

static void
add_row(GemTable *table, const GemBenchHeldOutText *text)
{
  g_autofree char *documents = g_strdup_printf("%u", text->documents->len - text->skipped);
  g_autofree char *tokens = g_strdup_printf("%" G_GUINT64_FORMAT, text->tokens[0]);
  g_autofree char *before = format_perplexity(gem_bench_held_out_perplexity(text, 0));
  g_autofree char *after = format_perplexity(gem_bench_held_out_perplexity(text, 1));
  g_autofree char *change =
      isnan(change_of(text)) ? g_strdup("-") : g_strdup_printf("%+.2f", change_of(text));
  g_autofree char *skipped = g_strdup_printf("%u", text->skipped);

  gem_table_add(table, -1,
                (const char *const[]){text->name, documents, tokens, before, after, change, skipped});
}

static void
add_json(JsonBuilder *builder, const GemBenchHeldOutText *text)
{
  gem_bench_json_begin_entry(builder);
  gem_bench_json_add_string(builder, "text", text->name);
  gem_bench_json_add_count(builder, "documents", text->documents->len - text->skipped);
  gem_bench_json_add_count(builder, "skipped", text->skipped);
  gem_bench_json_add_count(builder, "tokens", text->tokens[0]);
  gem_bench_json_add_double(builder, "perplexity_before", gem_bench_held_out_perplexity(text, 0));
  gem_bench_json_add_double(builder, "perplexity_after", gem_bench_held_out_perplexity(text, 1));
  gem_bench_json_add_double(builder, "change_percent", change_of(text));
  gem_bench_json_end_entry(builder);
}

static void
print_outcome(const char *service, const Outcome *outcome)
{
  double before = NAN, after = NAN, worst = NAN, routed = NAN;
  const char *reason = NULL;
  GVariant *details = outcome->result.details;

  g_variant_lookup(details, "held_out_before", "d", &before);
  g_variant_lookup(details, "held_out_after", "d", &after);
  g_variant_lookup(details, "worst_other_percent", "d", &worst);
  g_variant_lookup(details, "routed_share", "d", &routed);
  g_variant_lookup(details, "reason", "&s", &reason);
  gem_output_printf("%s: %s, of %.0f KiB in %.1f s%s%s\n", service, outcome->result.result,
                    (double)outcome->bytes / 1024, outcome->seconds, reason != NULL ? ": " : "",
                    reason != NULL ? reason : "");
  gem_output_printf(
      "it says itself: perplexity of held-out text %.2f -> %.2f; the other domains at worst %+.2f %%; "
      "%.0f %% of the held-out tokens go to it\n",
      before, after, worst, 100 * routed);
}

static gboolean
report(const GemBenchCommand *command,
       const AdaptOptions *options,
       const GemBenchHeldOut *held_out,
       const char *service,
       const Outcome *outcome,
       GError **error)
{
  static const char *const headings[] = {"text",  "documents", "tokens",  "before",
                                         "after", "change %",  "skipped", NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrrrr", headings);
  g_autoptr(JsonBuilder) builder = gem_bench_json_begin(command, &options->common, "service", service);
  const GPtrArray *texts = gem_bench_held_out_get(held_out);

  print_outcome(service, outcome);
  gem_bench_json_add_string(builder, "result", outcome->result.result);
  gem_bench_json_add_double(builder, "seconds", outcome->seconds);
  gem_bench_json_add_count(builder, "bytes", outcome->bytes);
  if (builder != NULL) {
    json_builder_set_member_name(builder, "figures");
    gem_json_add_variant(builder, outcome->result.details);
  }
  gem_bench_json_begin_list(builder, "texts");
  for (guint i = 0; i < texts->len; i++) {
    add_row(table, texts->pdata[i]);
    add_json(builder, texts->pdata[i]);
  }
  gem_bench_json_end_list(builder);
  gem_table_print(table);
  return gem_bench_json_finish(builder, &options->common, error);
}

/* ---- the measurement ---- */

/* Between two scores, so that nothing else of the service differs. */
static gboolean
learn(const AdaptOptions *options, GemRemote *remote, const GPtrArray *all, Outcome *outcome, GError **error)
{
  g_autoptr(GString) lesson = make_lesson(all, (gsize)options->kib << 10);
  gint64 began = g_get_monotonic_time();

  if (!gem_bench_lesson_learn(&options->lesson, remote, lesson, &outcome->result, error)) {
    return FALSE;
  }
  outcome->seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
  outcome->bytes = lesson->len;
  return TRUE;
}

static gboolean
measure(const GemBenchCommand *command, const AdaptOptions *options, GError **error)
{
  g_autoptr(GemBenchHeldOut) held_out = gem_bench_held_out_new();
  g_autofree char *corpus = g_strdup_printf("%s.txt", options->domain);
  g_autofree char *path = options->text != NULL ? g_strdup(options->text)
                                                : g_build_filename(options->data, "corpus", corpus, NULL);
  const GemBenchHeldOutText *text =
      gem_bench_held_out_add(held_out, NEW_TEXT, path, (guint)options->documents, error);
  g_autoptr(GemRemote) remote = NULL;
  g_autofree char *service = NULL;
  g_auto(Outcome) outcome = {0};
  gboolean measured;

  if (text == NULL || !add_corpora(held_out, options, error)) {
    return FALSE;
  }
  remote = gem_remote_open(&options->common.bus, error);
  if (remote == NULL || !gem_bench_lesson_check(&options->lesson, remote, error) ||
      !gem_bench_held_out_score(held_out, remote, 0, error)) {
    return FALSE;
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL || !learn(options, remote, text->all, &outcome, error)) {
    return FALSE;
  }
  measured = gem_bench_held_out_score(held_out, remote, 1, error) &&
             report(command, options, held_out, service, &outcome, error);
  return (options->keep || gem_bench_lesson_forget(&options->lesson, remote, measured ? error : NULL)) &&
         measured;
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(AdaptOptions) options = {.documents = 40, .kib = 1024};
  g_autoptr(GError) error = NULL;

  if (!parse(self, argv, &options, &error) || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_adapt = {
    .name = "adapt",
    .arguments = "--data DIR",
    .summary = "Tell what learning a domain gives, and what it costs",
    .details =
        "Held-out documents of what is learned and of every corpus of the folder are scored before and "
        "after\n"
        "(each fiftieth document, on which the shipped models were not trained either). The domain is\n"
        "forgotten at the end.\n\n"
        "Examples:\n"
        "  gem-bench adapt --data ~/gem-data --text novels.txt\n"
        "  gem-bench adapt --data ~/gem-data --domain legal --kib 256 --json adapt.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
