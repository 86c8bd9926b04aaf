#include "clients/gem-client/gem-client-routes.h"

#include <string.h>

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-table.h"

#define GENERAL "general"

typedef struct {
  const char *text, *pathway;
  guint64 offset, length;
  GVariant *probabilities; /* a{sd} */
} RoutedToken;

static void
routed_token_clear(RoutedToken *token)
{
  g_clear_pointer(&token->probabilities, g_variant_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RoutedToken, routed_token_clear)

static void
read_token(GVariant *tokens, gsize index, RoutedToken *ret_token)
{
  g_autoptr(GVariant) row = g_variant_get_child_value(tokens, index);

  /* The strings live in the serialized data of `tokens`. */
  g_variant_get(row, "(&stt&s@a{sd})", &ret_token->text, &ret_token->offset, &ret_token->length,
                &ret_token->pathway, &ret_token->probabilities);
}

/* The domain with the highest probability; NULL when there is none. */
static const char *
find_best_domain(GVariant *probabilities, double *ret_probability)
{
  GVariantIter iter;
  const char *domain, *best = NULL;
  double probability;

  g_variant_iter_init(&iter, probabilities);
  while (g_variant_iter_next(&iter, "{&sd}", &domain, &probability)) {
    if (best == NULL || probability > *ret_probability) {
      best = domain;
      *ret_probability = probability;
    }
  }
  return best;
}

/* The same colour for a domain in every row of every table; none for general. */
static gint
choose_colour(const char *pathway, GVariant *probabilities)
{
  GVariantIter iter;
  const char *domain;
  double probability;
  gint colour = 0;

  g_variant_iter_init(&iter, probabilities);
  while (g_variant_iter_next(&iter, "{&sd}", &domain, &probability)) {
    if (strcmp(domain, pathway) == 0) {
      return colour;
    }
    colour++;
  }
  return -1;
}

static char *
describe_probability(const RoutedToken *token)
{
  double best = 0, chosen;
  const char *domain = find_best_domain(token->probabilities, &best);

  if (g_variant_lookup(token->probabilities, token->pathway, "d", &chosen)) {
    return g_strdup_printf("%.2f", chosen);
  }
  return domain == NULL ? g_strdup("") : g_strdup_printf("%.2f %s", best, domain);
}

void
gem_routes_print(GVariant *tokens)
{
  g_autoptr(GemTable) table =
      gem_table_new("lll", (const char *const[]){"token", "pathway", "probability", NULL});
  gsize i;

  for (i = 0; i < g_variant_n_children(tokens); i++) {
    g_auto(RoutedToken) token = {0};
    g_autofree char *text = NULL;
    g_autofree char *probability = NULL;

    read_token(tokens, i, &token);
    text = gem_escape_text(token.text, GEM_ESCAPE_CELL);
    probability = describe_probability(&token);
    gem_table_add(table, choose_colour(token.pathway, token.probabilities),
                  (const char *const[]){text, token.pathway, probability});
  }
  gem_table_print(table);
}

static gint
compare_counts(gconstpointer a, gconstpointer b, gpointer counts)
{
  const char *left = *(const char *const *)a, *right = *(const char *const *)b;
  guint of_left = GPOINTER_TO_UINT(g_hash_table_lookup(counts, left));
  guint of_right = GPOINTER_TO_UINT(g_hash_table_lookup(counts, right));

  return of_left != of_right ? (of_left < of_right ? 1 : -1) : strcmp(left, right);
}

static char *
describe_table(GHashTable *counts)
{
  g_autofree gpointer *names = g_hash_table_get_keys_as_array(counts, NULL);
  guint n = g_hash_table_size(counts), i;
  GString *out = g_string_new(NULL);

  g_qsort_with_data(names, (gint)n, sizeof *names, compare_counts, counts);
  for (i = 0; i < n; i++) {
    g_string_append_printf(out, "%s%s %u", i == 0 ? "" : ", ", (const char *)names[i],
                           GPOINTER_TO_UINT(g_hash_table_lookup(counts, names[i])));
  }
  return g_string_free(out, FALSE);
}

char *
gem_routes_describe_counts(GVariant *counts)
{
  g_autoptr(GHashTable) table = g_hash_table_new(g_str_hash, g_str_equal);
  GVariantIter iter;
  const char *pathway;
  guint count;

  g_variant_iter_init(&iter, counts);
  while (g_variant_iter_next(&iter, "{&su}", &pathway, &count)) {
    if (count > 0) {
      g_hash_table_insert(table, (gpointer)pathway, GUINT_TO_POINTER(count));
    }
  }
  return describe_table(table);
}

void
gem_routes_print_summary(GVariant *tokens)
{
  g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
  g_autofree char *described = NULL;
  gsize n = g_variant_n_children(tokens), i;

  for (i = 0; i < n; i++) {
    g_auto(RoutedToken) token = {0};
    guint before;

    read_token(tokens, i, &token);
    before = GPOINTER_TO_UINT(g_hash_table_lookup(counts, token.pathway));
    g_hash_table_insert(counts, (gpointer)token.pathway, GUINT_TO_POINTER(before + 1));
  }
  described = describe_table(counts);
  gem_output_printf("%zu %s: %s\n", n, n == 1 ? "token" : "tokens", described);
}

void
gem_routes_add_json(JsonBuilder *builder, GVariant *tokens)
{
  gsize i;

  json_builder_begin_array(builder);
  for (i = 0; i < g_variant_n_children(tokens); i++) {
    g_auto(RoutedToken) token = {0};

    read_token(tokens, i, &token);
    json_builder_begin_object(builder);
    gem_json_add_string(builder, "text", token.text);
    json_builder_set_member_name(builder, "offset");
    json_builder_add_int_value(builder, (gint64)token.offset);
    json_builder_set_member_name(builder, "length");
    json_builder_add_int_value(builder, (gint64)token.length);
    gem_json_add_string(builder, "pathway", token.pathway);
    json_builder_set_member_name(builder, "probabilities");
    gem_json_add_variant(builder, token.probabilities);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}
