/* gem-bench perplexity: how well the service's model predicts texts. */
#include <math.h>

#include "bench/bus/gem-bench-calls.h"
#include "bench/bus/gem-bench-service.h"
#include "bench/gem-bench-json.h"
#include "bench/questions/gem-bench-data.h"
#include "bench/questions/gem-bench-task.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"

typedef struct {
  guint fates[GEM_BENCH_N_FATES]; /* documents by what became of them */
  double log_likelihood;          /* sum over the tokens, natural logarithm */
  guint64 tokens;
} Sums;

typedef struct {
  const char *path;
  GPtrArray *documents; /* of char * */
  Sums sums;
} Text;

typedef struct {
  guint text, document;
} DocumentCall;

typedef struct {
  GArray *texts; /* of Text */
  GArray *calls; /* of DocumentCall */
  GVariant *run; /* a{sv}: options of each call */
} Measurement;

typedef struct {
  GemBenchOptions common;
  GemRunArguments run;
} PerplexityOptions;

static void
perplexity_options_clear(PerplexityOptions *options)
{
  gem_bench_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PerplexityOptions, perplexity_options_clear)

static void
text_clear(gpointer data)
{
  g_ptr_array_unref(((Text *)data)->documents);
}

static void
measurement_init(Measurement *self)
{
  self->texts = g_array_new(FALSE, FALSE, sizeof(Text));
  g_array_set_clear_func(self->texts, text_clear);
  self->calls = g_array_new(FALSE, FALSE, sizeof(DocumentCall));
}

static void
measurement_clear(Measurement *self)
{
  g_array_unref(self->texts);
  g_array_unref(self->calls);
  g_clear_pointer(&self->run, g_variant_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Measurement, measurement_clear)

static gboolean
read_texts(Measurement *self, GStrv paths, GError **error)
{
  guint i, document;

  for (i = 0; paths[i] != NULL; i++) {
    Text text = {.path = paths[i], .documents = gem_bench_data_read_documents(paths[i], error)};

    if (text.documents == NULL) {
      return FALSE;
    }
    g_array_append_val(self->texts, text);
    for (document = 0; document < text.documents->len; document++) {
      DocumentCall call = {.text = i, .document = document};

      g_array_append_val(self->calls, call);
    }
  }
  return TRUE;
}

/* ---- the calls ---- */

static Text *
text_of_call(const Measurement *self, guint index)
{
  return &g_array_index(self->texts, Text, g_array_index(self->calls, DocumentCall, index).text);
}

static GVariant *
make_arguments(guint index, gpointer data)
{
  const Measurement *self = data;
  guint document = g_array_index(self->calls, DocumentCall, index).document;

  return g_variant_new("(s@a{sv})", (const char *)text_of_call(self, index)->documents->pdata[document],
                       self->run);
}

static void
take_answer(guint index, GVariant *reply, const GError *refusal, gpointer data)
{
  Sums *sums = &text_of_call(data, index)->sums;
  double log_likelihood;
  guint64 tokens;

  if (reply == NULL) {
    sums->fates[gem_bench_fate_of_refusal(refusal)]++;
    return;
  }
  g_variant_get(reply, "(dt)", &log_likelihood, &tokens);
  sums->fates[GEM_BENCH_USED]++;
  sums->log_likelihood += log_likelihood;
  sums->tokens += tokens;
}

static const char *
get_path(guint index, gpointer data)
{
  return text_of_call(data, index)->path;
}

/* ---- what comes out ---- */

/* Nats a token; NAN without tokens. */
static double
mean_nats(const Sums *sums)
{
  return sums->tokens == 0 ? NAN : -sums->log_likelihood / (double)sums->tokens;
}

static void
add_row(GemTable *table, JsonBuilder *builder, const char *name, const Sums *sums)
{
  guint used = sums->fates[GEM_BENCH_USED];
  guint skipped = sums->fates[GEM_BENCH_SKIPPED_TEXT] + sums->fates[GEM_BENCH_SKIPPED_CONTEXT];
  g_autofree char *documents = g_strdup_printf("%u", used);
  g_autofree char *tokens = g_strdup_printf("%" G_GUINT64_FORMAT, sums->tokens);
  g_autofree char *nats = g_strdup_printf("%.4f", mean_nats(sums));
  g_autofree char *perplexity = g_strdup_printf("%.4f", exp(mean_nats(sums)));
  g_autofree char *left_out = g_strdup_printf("%u", skipped);

  gem_table_add(table, -1,
                (const char *const[]){name, documents, tokens, sums->tokens == 0 ? "-" : nats,
                                      sums->tokens == 0 ? "-" : perplexity, left_out});
  if (builder != NULL) {
    json_builder_begin_object(builder);
    gem_json_add_string(builder, "text", name);
    gem_bench_json_add_count(builder, "documents", used);
    gem_bench_json_add_count(builder, "skipped", skipped);
    gem_bench_json_add_count(builder, "tokens", sums->tokens);
    gem_bench_json_add_double(builder, "mean_nats", mean_nats(sums));
    gem_bench_json_add_double(builder, "perplexity", exp(mean_nats(sums)));
    json_builder_end_object(builder);
  }
}

static void
report(const Measurement *self, JsonBuilder *builder)
{
  static const char *const headings[] = {"text",       "documents", "tokens", "mean nats",
                                         "perplexity", "skipped",   NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrrr", headings);
  g_autofree char *skipped = NULL;
  Sums all = {0};
  guint i, fate;

  if (builder != NULL) {
    json_builder_set_member_name(builder, "texts");
    json_builder_begin_array(builder);
  }
  for (i = 0; i < self->texts->len; i++) {
    const Text *text = &g_array_index(self->texts, Text, i);

    add_row(table, builder, text->path, &text->sums);
    all.log_likelihood += text->sums.log_likelihood;
    all.tokens += text->sums.tokens;
    for (fate = 0; fate < GEM_BENCH_N_FATES; fate++) {
      all.fates[fate] += text->sums.fates[fate];
    }
  }
  if (self->texts->len > 1) {
    add_row(table, builder, "all", &all);
  }
  if (builder != NULL) {
    json_builder_end_array(builder);
  }
  gem_table_print(table);
  skipped = gem_bench_fates_describe_skipped(all.fates);
  if (skipped != NULL) {
    gem_output_printf("skipped documents: %s\n", skipped);
  }
}

static gboolean
measure(const GemBenchCommand *command, const PerplexityOptions *options, GError **error)
{
  g_auto(Measurement) self = {0};
  GVariant *run = gem_run_arguments_to_variant(&options->run, error);
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *service = NULL;
  GemBenchCalls calls = {
      .method = "Score",
      .reply_type = "(dt)",
      .arguments = make_arguments,
      .answered = take_answer,
      .name = get_path,
  };

  measurement_init(&self);
  if (run == NULL) {
    return FALSE;
  }
  self.run = g_variant_ref_sink(run);
  if (!read_texts(&self, options->common.arguments, error)) {
    return FALSE;
  }
  calls.n = self.calls->len;
  remote = gem_remote_open(&options->common.bus, error);
  if (remote == NULL || !gem_bench_calls_run(remote, &calls, &self, error)) {
    return FALSE;
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, &options->common, "service", service);
  gem_output_printf("%s; pathway: %s\n", service,
                    options->run.domain == NULL ? "the router's choice" : options->run.domain);
  if (builder != NULL) {
    gem_json_add_string(builder, "pathway", options->run.domain == NULL ? "router" : options->run.domain);
  }
  report(&self, builder);
  return gem_bench_json_finish(builder, &options->common, error);
}

static GemExit
run(const GemBenchCommand *self, char **argv)
{
  g_auto(PerplexityOptions) options = {0};
  g_autofree GOptionEntry *entries = gem_run_arguments_entries(&options.run);
  g_autoptr(GError) error = NULL;
  gboolean parsed =
      gem_bench_parse(self, (const GOptionEntry *const[]){entries, NULL}, argv, &options.common, &error);

  if (parsed && options.common.arguments == NULL) {
    parsed = FALSE;
    g_set_error_literal(&error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "a FILE is wanted");
  }
  if (!parsed || !measure(self, &options, &error)) {
    return gem_bench_complain(error);
  }
  return GEM_EXIT_OK;
}

const GemBenchCommand gem_bench_perplexity = {
    .name = "perplexity",
    .arguments = "FILE...",
    .summary = "Tell how well texts are predicted",
    .details =
        "Blank lines stand between a file's documents; each is scored by itself. The perplexity is\n"
        "exp(- sum of log-likelihoods / tokens), as of gem-train perplexity --text. A document that the\n"
        "service does not take is skipped and counted, never shortened.\n\n"
        "Examples:\n"
        "  gem-bench perplexity legal.txt\n"
        "  gem-bench perplexity --domain legal legal.txt\n"
        "  gem-bench perplexity --domain general legal.txt finance.txt --json perplexity.json",
    .takes = GEM_BENCH_TAKES_BUS,
    .run = run,
};
