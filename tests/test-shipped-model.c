/* The model that ships: that its sentences go where anyone would place them, that it answers, and that it
 * tells labels apart. Skipped where models/gem-mini is not there. */
#include <math.h>
#include <string.h>

#include "daemon/engine/gem-engine.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"

#define LEAST_RIGHT 8 /* of ten sentences a domain */

static GemEngine *
open_shipped(void)
{
  g_autofree char *folder = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "models", "gem-mini", NULL);
  g_autofree char *manifest = g_build_filename(folder, "manifest", NULL);
  g_autofree char *plugins = gem_test_build_path("plugins", NULL);
  g_autoptr(GError) error = NULL;
  if (!g_file_test(manifest, G_FILE_TEST_IS_REGULAR)) {
    g_test_skip("models/gem-mini is not there");
    return NULL;
  }
  const char *dirs[] = {plugins, NULL};
  GemEngineConfig config = {.model_path = folder, .plugin_dirs = dirs, .threshold_percent = -1};
  GemEngine *engine = gem_engine_new(&config, &error);
  g_assert_no_error(error);
  return engine;
}

/* The domain of most routed tokens, or "general" when none is routed. Static while the engine lives. */
static const char *
majority_pathway(GemEngine *engine, const char *text)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GError) error = NULL;
  gem_engine_route_async(engine, text, NULL, NULL, gem_test_keep_result, &slot);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_autoptr(GPtrArray) tokens = gem_engine_route_finish(engine, result, &error);
  g_assert_no_error(error);
  g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
  const char *best = "general";
  for (guint i = 0; i < tokens->len; i++) {
    const GemRoutedToken *token = tokens->pdata[i];
    if (strcmp(token->pathway, "general") == 0) {
      continue;
    }
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, token->pathway)) + 1;
    g_hash_table_insert(counts, (gpointer)token->pathway, GUINT_TO_POINTER(count));
    if (count > GPOINTER_TO_UINT(g_hash_table_lookup(counts, best))) {
      best = token->pathway;
    }
  }
  return best;
}

static void
test_sentences(void)
{
  g_autoptr(GemEngine) engine = open_shipped();
  if (engine == NULL) {
    return;
  }
  g_autofree char *path =
      g_build_filename(g_getenv("GEM_SOURCE_DIR"), "tests", "data", "routing-sentences.tsv", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_autoptr(GHashTable) right = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++) {
    g_auto(GStrv) fields = g_strsplit(lines[i], "\t", 2);
    const char *found = majority_pathway(engine, fields[1]);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(right, fields[0]));
    if (strcmp(found, fields[0]) != 0) {
      g_test_message("%s, not %s: %s", found, fields[0], fields[1]);
    }
    g_hash_table_insert(right, g_strdup(fields[0]),
                        GUINT_TO_POINTER(count + (strcmp(found, fields[0]) == 0 ? 1 : 0)));
  }
  g_assert_cmpuint(g_hash_table_size(right), ==, 7);
  GHashTableIter iter;
  gpointer domain, count;
  g_hash_table_iter_init(&iter, right);
  while (g_hash_table_iter_next(&iter, &domain, &count)) {
    g_test_message("%s: %u of 10", (const char *)domain, GPOINTER_TO_UINT(count));
    if (GPOINTER_TO_UINT(count) < LEAST_RIGHT) {
      g_test_fail();
    }
  }
}

static void
test_answers(void)
{
  g_autoptr(GemEngine) engine = open_shipped();
  if (engine == NULL) {
    return;
  }
  g_autofree char *first = gem_test_greedy(engine, "Patient has high temperature today", 24, NULL);
  g_autofree char *second = gem_test_greedy(engine, "Patient has high temperature today", 24, NULL);
  g_assert_cmpuint(strlen(first), >, 0);
  g_assert_true(g_utf8_validate(first, -1, NULL));
  g_assert_cmpstr(first, ==, second);
}

static double
mean_nats(GemEngine *engine, const char *text)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GError) error = NULL;
  double log_likelihood = 0.0;
  guint64 tokens = 0;
  gem_engine_score_async(engine, text, NULL, NULL, gem_test_keep_result, &slot);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  gem_engine_score_finish(engine, result, &log_likelihood, &tokens, &error);
  g_assert_no_error(error);
  return -log_likelihood / (double)tokens;
}

/* A trained model finds text likelier than the same words in disorder, and far likelier than chance (log 8192
 * = 9 nats a token). */
static void
test_likelihood(void)
{
  g_autoptr(GemEngine) engine = open_shipped();
  if (engine == NULL) {
    return;
  }
  double text = mean_nats(engine, "The patient was treated with antibiotics for an infection of the lungs.");
  double disorder =
      mean_nats(engine, "lungs an the. infection for patient was of The antibiotics treated with the");
  g_test_message("text %.3f nats a token, disorder %.3f", text, disorder);
  g_assert_cmpfloat(text, <, disorder);
  g_assert_cmpfloat(text, <, 6.0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/shipped-model/sentences", test_sentences);
  g_test_add_func("/shipped-model/answers", test_answers);
  g_test_add_func("/shipped-model/likelihood", test_likelihood);
  return g_test_run();
}
