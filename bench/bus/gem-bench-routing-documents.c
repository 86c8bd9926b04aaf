/* gem-bench routing --data: the pathway of a document is that of most of its routed tokens. */
#include <math.h>
#include <string.h>

#include "bench/bus/gem-bench-routing.h"
#include "bench/bus/gem-bench-service.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

#define GENERAL "general"
/* The domain without a subject of its own: reported, not judged. */
#define ADAPTIVE "adaptive"

typedef struct {
  guint documents, right, unrouted; /* of those that were routed at all */
  guint64 tokens, routed;
  guint fates[GEM_BENCH_N_FATES];
  GHashTable *taken; /* pathways that took a document of another domain -> how many */
} Tally;

static Tally *
tally_new(void)
{
  Tally *tally = g_new0(Tally, 1);

  tally->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return tally;
}

static void
tally_free(gpointer data)
{
  Tally *tally = data;

  g_hash_table_unref(tally->taken);
  g_free(tally);
}

/* ---- the texts ---- */

/* "DOMAIN/..." belongs to DOMAIN. Transfer full. */
static char *
domain_of(const char *source)
{
  return g_strndup(source, strcspn(source, "/"));
}

static gboolean
add_task(const char *folder,
         const char *task,
         guint limit,
         guint seed,
         GPtrArray *names,
         GArray *texts,
         GError **error)
{
  g_autoptr(GPtrArray) lines = gem_bench_data_read_lines(folder, task, "test", limit, seed, error);
  guint i;

  if (lines == NULL) {
    return FALSE;
  }
  for (i = 0; i < lines->len; i++) {
    GemBenchLine *line = lines->pdata[i];

    gem_bench_routed_texts_add(texts, g_steal_pointer(&line->input), names->len);
  }
  g_ptr_array_add(names, g_strdup(task));
  return TRUE;
}

/* Held-out documents of corpus/general.txt, where there is one. */
static gboolean
add_general_corpus(
    const char *folder, guint limit, guint seed, GPtrArray *names, GArray *texts, GError **error)
{
  g_autofree char *path = g_build_filename(folder, "corpus", GENERAL ".txt", NULL);
  g_autoptr(GPtrArray) documents = NULL;
  g_autoptr(GArray) drawn = NULL;
  guint i;

  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    return TRUE;
  }
  documents = gem_bench_data_read_documents(path, error);
  if (documents == NULL) {
    return FALSE;
  }
  drawn = gem_bench_data_draw(
      (documents->len + GEM_BENCH_DATA_HELD_OUT_EVERY - 1) / GEM_BENCH_DATA_HELD_OUT_EVERY, limit, seed);
  for (i = 0; i < drawn->len; i++) {
    const char *document = documents->pdata[g_array_index(drawn, guint, i) * GEM_BENCH_DATA_HELD_OUT_EVERY];

    gem_bench_routed_texts_add(texts, g_strdup(document), names->len);
  }
  g_ptr_array_add(names, g_strdup(GENERAL "/corpus"));
  return TRUE;
}

static gboolean
read_texts(const char *folder, guint limit, guint seed, GPtrArray *names, GArray *texts, GError **error)
{
  g_auto(GStrv) tasks = gem_bench_data_list_tasks(folder, error);
  guint i;

  if (tasks == NULL) {
    return FALSE;
  }
  for (i = 0; tasks[i] != NULL; i++) {
    if (!add_task(folder, tasks[i], limit, seed, names, texts, error)) {
      return FALSE;
    }
  }
  return add_general_corpus(folder, limit, seed, names, texts, error);
}

/* ---- the tallies ---- */

static void
count(Tally *tally, const GemBenchRoutedText *text, const char *domain)
{
  const char *most;

  tally->fates[text->fate]++;
  if (text->routes == NULL) {
    return;
  }
  most = gem_bench_routes_get_most(text->routes);
  tally->documents++;
  tally->tokens += text->routes->tokens;
  tally->routed += text->routes->routed;
  tally->unrouted += text->routes->routed == 0;
  if (g_strcmp0(most, domain) == 0) {
    tally->right++;
  } else if (most != NULL) {
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(tally->taken, most));

    g_hash_table_insert(tally->taken, g_strdup(most), GUINT_TO_POINTER(n + 1));
  }
}

static Tally *
tally_of(GPtrArray *domains, GPtrArray *tallies, const char *domain)
{
  guint i;

  for (i = 0; i < domains->len; i++) {
    if (g_str_equal(domains->pdata[i], domain)) {
      return tallies->pdata[i];
    }
  }
  g_ptr_array_add(domains, g_strdup(domain));
  g_ptr_array_add(tallies, tally_new());
  return tallies->pdata[i];
}

static double
share(guint64 part, guint64 whole)
{
  return whole == 0 ? NAN : (double)part / (double)whole;
}

/* ---- what comes out ---- */

/* "stem 12", the pathway that took most documents of others; "-" when none did. Transfer full. */
static char *
describe_taken(const Tally *tally)
{
  GHashTableIter iter;
  gpointer pathway, n;
  const char *most = NULL;
  guint count_of_most = 0;

  g_hash_table_iter_init(&iter, tally->taken);
  while (g_hash_table_iter_next(&iter, &pathway, &n)) {
    if (GPOINTER_TO_UINT(n) > count_of_most) {
      count_of_most = GPOINTER_TO_UINT(n);
      most = pathway;
    }
  }
  return most == NULL ? g_strdup("-") : g_strdup_printf("%s %u", most, count_of_most);
}

static char *
format_share(double value)
{
  return isfinite(value) ? g_strdup_printf("%.4f", value) : g_strdup("-");
}

/* Text of no domain has no right pathway: of it counts what leaves general. */
static void
add_row(GemTable *table, const char *name, gboolean general, const Tally *tally)
{
  g_autofree char *documents = g_strdup_printf("%u", tally->documents);
  g_autofree char *right = general ? g_strdup("-") : format_share(share(tally->right, tally->documents));
  g_autofree char *unrouted = format_share(share(tally->unrouted, tally->documents));
  g_autofree char *routed = format_share(share(tally->routed, tally->tokens));
  g_autofree char *taken = describe_taken(tally);
  g_autofree char *skipped =
      g_strdup_printf("%u", tally->fates[GEM_BENCH_SKIPPED_TEXT] + tally->fates[GEM_BENCH_SKIPPED_CONTEXT]);

  gem_table_add(table, -1, (const char *const[]){name, documents, right, unrouted, routed, taken, skipped});
}

static void
add_json(JsonBuilder *builder, const char *name, gboolean general, const Tally *tally)
{
  json_builder_begin_object(builder);
  gem_json_add_string(builder, "name", name);
  gem_bench_json_add_count(builder, "documents", tally->documents);
  gem_bench_json_add_double(builder, "accuracy", general ? NAN : share(tally->right, tally->documents));
  gem_bench_json_add_double(builder, "unrouted", share(tally->unrouted, tally->documents));
  gem_bench_json_add_double(builder, "tokens_leaving_general", share(tally->routed, tally->tokens));
  gem_bench_json_add_count(builder, "skipped_text", tally->fates[GEM_BENCH_SKIPPED_TEXT]);
  gem_bench_json_add_count(builder, "skipped_context", tally->fates[GEM_BENCH_SKIPPED_CONTEXT]);
  json_builder_end_object(builder);
}

static void
print_tallies(const char *heading, const GPtrArray *names, const GPtrArray *tallies, JsonBuilder *builder)
{
  const char *const headings[] = {
      heading,         "documents", "accuracy", "none routed", "tokens leaving general",
      "most taken by", "skipped",   NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrrlr", headings);
  guint i;

  for (i = 0; i < names->len; i++) {
    g_autofree char *domain = domain_of(names->pdata[i]);
    gboolean general = g_str_equal(domain, GENERAL);

    add_row(table, names->pdata[i], general, tallies->pdata[i]);
    if (builder != NULL) {
      add_json(builder, names->pdata[i], general, tallies->pdata[i]);
    }
  }
  gem_table_print(table);
}

static void
print_subjects(const GPtrArray *domains, const GPtrArray *tallies, JsonBuilder *builder)
{
  guint64 documents = 0, right = 0;
  guint i, subjects = 0;
  double sum = 0, mean;

  for (i = 0; i < domains->len; i++) {
    const Tally *tally = tallies->pdata[i];

    if (g_strv_contains((const char *const[]){GENERAL, ADAPTIVE, NULL}, domains->pdata[i]) ||
        tally->documents == 0) {
      continue;
    }
    subjects++;
    documents += tally->documents;
    right += tally->right;
    sum += share(tally->right, tally->documents);
  }
  mean = subjects == 0 ? NAN : sum / subjects;
  gem_output_printf("%u subject domains: %.4f of %" G_GUINT64_FORMAT
                    " documents routed right, mean over domains %.4f\n",
                    subjects, share(right, documents), documents, mean);
  if (builder != NULL) {
    gem_bench_json_add_count(builder, "subject_domains", subjects);
    gem_bench_json_add_double(builder, "accuracy", share(right, documents));
    gem_bench_json_add_double(builder, "mean_accuracy", mean);
  }
}

static void
report(const GArray *texts, const GPtrArray *names, JsonBuilder *builder)
{
  g_autoptr(GPtrArray) by_source = g_ptr_array_new_with_free_func(tally_free);
  g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) by_domain = g_ptr_array_new_with_free_func(tally_free);
  guint i;

  for (i = 0; i < names->len; i++) {
    g_ptr_array_add(by_source, tally_new());
  }
  for (i = 0; i < texts->len; i++) {
    const GemBenchRoutedText *text = &g_array_index(texts, GemBenchRoutedText, i);
    g_autofree char *domain = domain_of(names->pdata[text->source]);

    count(by_source->pdata[text->source], text, domain);
    count(tally_of(domains, by_domain, domain), text, domain);
  }
  if (builder != NULL) {
    json_builder_set_member_name(builder, "sources");
    json_builder_begin_array(builder);
  }
  print_tallies("source", names, by_source, builder);
  if (builder != NULL) {
    json_builder_end_array(builder);
    json_builder_set_member_name(builder, "domains");
    json_builder_begin_array(builder);
  }
  gem_output_printf("\n");
  print_tallies("domain", domains, by_domain, builder);
  if (builder != NULL) {
    json_builder_end_array(builder);
  }
  print_subjects(domains, by_domain, builder);
}

gboolean
gem_bench_routing_documents(const GemBenchCommand *command,
                            const GemBenchOptions *options,
                            const char *folder,
                            guint limit,
                            guint seed,
                            GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GArray) texts = gem_bench_routed_texts_new();
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *service = NULL;

  if (!read_texts(folder, limit, seed, names, texts, error)) {
    return FALSE;
  }
  remote = gem_remote_open(&options->bus, error);
  if (remote == NULL || !gem_bench_routed_texts_run(remote, texts, names, error)) {
    return FALSE;
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL) {
    return FALSE;
  }
  builder = gem_bench_json_begin(command, options, "service", service);
  gem_output_printf("%s; test lines, seed %u\n", service, seed);
  report(texts, names, builder);
  return gem_bench_json_finish(builder, options, error);
}
