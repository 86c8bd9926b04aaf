/* gem-bench routing --sentences: are sentences routed to the domain that they were written for? */
#include <string.h>

#include "bench/bus/gem-bench-routing.h"
#include "bench/bus/gem-bench-service.h"
#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

typedef struct {
  guint sentences;
  guint most;    /* the domain runs most of the tokens that left general */
  guint half;    /* the domain runs more than half of all tokens */
  guint skipped; /* not taken by the service: neither */
} Tally;

static guint
find_or_add(GPtrArray *domains, const char *domain, gsize length)
{
  guint i;

  for (i = 0; i < domains->len; i++) {
    const char *known = domains->pdata[i];

    if (strncmp(known, domain, length) == 0 && known[length] == '\0') {
      return i;
    }
  }
  g_ptr_array_add(domains, g_strndup(domain, length));
  return i;
}

/* Reads "domain TAB sentence" lines; `domains` become the sources of `texts`. */
static gboolean
read_sentences(const char *path, GPtrArray *domains, GArray *texts, GError **error)
{
  g_autofree char *content = NULL;
  g_auto(GStrv) lines = NULL;
  guint i;

  if (!g_file_get_contents(path, &content, NULL, error)) {
    return FALSE;
  }
  lines = g_strsplit(content, "\n", -1);
  for (i = 0; lines[i] != NULL; i++) {
    const char *tab = strchr(lines[i], '\t');

    if (lines[i][0] == '\0') {
      continue;
    }
    if (tab == NULL || tab == lines[i] || tab[1] == '\0' || !g_utf8_validate(lines[i], -1, NULL)) {
      g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                  "%s: line %u: a domain, a tab and a sentence in UTF-8 are wanted", path, i + 1);
      return FALSE;
    }
    gem_bench_routed_texts_add(texts, g_strdup(tab + 1),
                               find_or_add(domains, lines[i], (gsize)(tab - lines[i])));
  }
  if (texts->len == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: no sentences", path);
    return FALSE;
  }
  return TRUE;
}

static void
count(Tally *tally, const GemBenchRoutedText *text, const char *domain)
{
  tally->sentences++;
  if (text->routes == NULL) {
    tally->skipped++;
    return;
  }
  tally->most += g_strcmp0(gem_bench_routes_get_most(text->routes), domain) == 0;
  tally->half += gem_bench_routes_count(text->routes, domain) * 2 > text->routes->tokens;
}

static gboolean
is_miss(const GemBenchRoutedText *text, const char *domain)
{
  return text->routes == NULL || g_strcmp0(gem_bench_routes_get_most(text->routes), domain) != 0;
}

/* "of 9 tokens: legal 2, general 7". Transfer full. */
static char *
describe_routes(const GemBenchRoutes *routes)
{
  g_autoptr(GString) text = NULL;
  GHashTableIter iter;
  gpointer pathway, n;

  if (routes == NULL) {
    return g_strdup("not taken by the service");
  }
  text = g_string_new(NULL);
  g_string_append_printf(text, "of %u tokens:", routes->tokens);
  g_hash_table_iter_init(&iter, routes->by_pathway);
  while (g_hash_table_iter_next(&iter, &pathway, &n)) {
    g_string_append_printf(text, " %s %u,", (const char *)pathway, GPOINTER_TO_UINT(n));
  }
  g_string_append_printf(text, " general %u", routes->tokens - routes->routed);
  return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
print_misses(const GArray *texts, const GPtrArray *domains)
{
  guint i;

  for (i = 0; i < texts->len; i++) {
    const GemBenchRoutedText *text = &g_array_index(texts, GemBenchRoutedText, i);
    const char *domain = domains->pdata[text->source];

    if (is_miss(text, domain)) {
      g_autofree char *routes = describe_routes(text->routes);
      g_autofree char *shown = gem_escape_text(text->text, GEM_ESCAPE_STREAM);

      gem_output_printf("miss: %s (%s): %s\n", domain, routes, shown);
    }
  }
}

/* Returns how many domains have fewer than `least` by `most`. */
static guint
report(const GPtrArray *domains, const Tally *tallies, guint least, JsonBuilder *builder)
{
  static const char *const headings[] = {"domain", "sentences", "most routed", "half of all", "enough", NULL};
  g_autoptr(GemTable) table = gem_table_new("lrrrl", headings);
  guint i, too_few = 0;

  for (i = 0; i < domains->len; i++) {
    const Tally *tally = &tallies[i];
    g_autofree char *sentences = g_strdup_printf("%u", tally->sentences);
    g_autofree char *most = g_strdup_printf("%u", tally->most);
    g_autofree char *half = g_strdup_printf("%u", tally->half);
    gboolean enough = tally->most >= least;

    too_few += !enough;
    gem_table_add(table, -1,
                  (const char *const[]){domains->pdata[i], sentences, most, half, enough ? "yes" : "no"});
    if (builder != NULL) {
      json_builder_begin_object(builder);
      gem_json_add_string(builder, "domain", domains->pdata[i]);
      gem_bench_json_add_count(builder, "sentences", tally->sentences);
      gem_bench_json_add_count(builder, "most_routed", tally->most);
      gem_bench_json_add_count(builder, "half_of_all", tally->half);
      gem_bench_json_add_count(builder, "skipped", tally->skipped);
      json_builder_end_object(builder);
    }
  }
  gem_table_print(table);
  return too_few;
}

gboolean
gem_bench_routing_sentences(const GemBenchCommand *command,
                            const GemBenchOptions *options,
                            const char *path,
                            guint least,
                            GemExit *ret_status,
                            GError **error)
{
  g_autoptr(GPtrArray) domains = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GArray) texts = gem_bench_routed_texts_new();
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree char *service = NULL;
  g_autofree Tally *tallies = NULL;
  guint i, too_few;

  if (!read_sentences(path, domains, texts, error)) {
    return FALSE;
  }
  remote = gem_remote_open(&options->bus, error);
  if (remote == NULL || !gem_bench_routed_texts_run(remote, texts, domains, error)) {
    return FALSE;
  }
  service = gem_bench_describe_service(remote, error);
  if (service == NULL) {
    return FALSE;
  }
  tallies = g_new0(Tally, domains->len);
  for (i = 0; i < texts->len; i++) {
    const GemBenchRoutedText *text = &g_array_index(texts, GemBenchRoutedText, i);

    count(&tallies[text->source], text, domains->pdata[text->source]);
  }
  builder = gem_bench_json_begin(command, options, "service", service);
  if (builder != NULL) {
    json_builder_set_member_name(builder, "domains");
    json_builder_begin_array(builder);
  }
  gem_output_printf("%s\n", service);
  too_few = report(domains, tallies, least, builder);
  print_misses(texts, domains);
  gem_output_printf("%u of %u domains have at least %u sentences routed there\n", domains->len - too_few,
                    domains->len, least);
  if (builder != NULL) {
    json_builder_end_array(builder);
  }
  if (!gem_bench_json_finish(builder, options, error)) {
    return FALSE;
  }
  *ret_status = too_few == 0 ? GEM_EXIT_OK : GEM_EXIT_FAILED;
  return TRUE;
}
