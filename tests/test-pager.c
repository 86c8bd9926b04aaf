/* Residency of pathways: in and out while text is generated, and domains whose file or module does not hold.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"

#define PROMPT "the old house on the hill"

typedef void (*PageAsync)(GemEngine *, const char *, GCancellable *, GAsyncReadyCallback, gpointer);

static gboolean
page(GemEngine *engine, PageAsync function, const char *domain, GError **error)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  function(engine, domain, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  return gem_engine_page_finish(engine, result, error);
}

static void
check_state(GemEngine *engine, const char *domain, GemPathwayState state)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(engine, domain);

  g_assert_nonnull(info);
  g_assert_cmpstr(info->domain, ==, domain);
  g_assert_cmpuint(info->state, ==, state);
  g_assert_true((info->resident_bytes > 0) == (state == GEM_PATHWAY_RESIDENT));
}

static char *
module_path(const char *domain)
{
  g_autofree char *file = g_strconcat(domain, ".so", NULL);

  return gem_test_build_path("plugins", "pathways", file, NULL);
}

/* Absent at first, resident when it is needed, really closed when it is paged out, back when it is needed
 * again: with the same answer each time. */
static void
test_in_and_out(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *module = module_path("legal");
  g_autofree char *first = NULL;
  g_autofree char *again = NULL;
  g_autofree char *general = NULL;
  g_autoptr(GError) error = NULL;
  guint64 with;

  gem_test_engine_start(test);
  check_state(test->engine, "legal", GEM_PATHWAY_ABSENT);
  check_state(test->engine, "general", GEM_PATHWAY_RESIDENT);
  g_assert_false(gem_test_is_mapped(module));

  first = gem_test_greedy(test->engine, PROMPT, 10, "legal");
  check_state(test->engine, "legal", GEM_PATHWAY_RESIDENT);
  g_assert_true(gem_test_is_mapped(module));
  with = gem_engine_get_resident_bytes(test->engine);

  g_assert_true(page(test->engine, gem_engine_page_out_async, "legal", &error));
  check_state(test->engine, "legal", GEM_PATHWAY_ABSENT);
  g_assert_false(gem_test_is_mapped(module));
  g_assert_cmpuint(gem_engine_get_resident_bytes(test->engine), <, with);
  g_assert_true(page(test->engine, gem_engine_page_out_async, "legal", &error));

  again = gem_test_greedy(test->engine, PROMPT, 10, "legal");
  check_state(test->engine, "legal", GEM_PATHWAY_RESIDENT);
  g_assert_cmpstr(again, ==, first);
  general = gem_test_greedy(test->engine, PROMPT, 10, "general");
  g_assert_cmpstr(general, !=, first);
}

/* Paged out in the middle of an answer, again and again: the answer does not change. */
static guint
page_out_during(GemTestEngine *test, const GemGenerateOptions *options)
{
  g_autoptr(GemSequence) one = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemSequence) two = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) expected = gem_test_generate(one, PROMPT, options);
  g_autoptr(GemTestAnswer) answer = NULL;
  g_autoptr(GError) error = NULL;
  guint times = 0;

  gem_test_answer_wait(expected);
  answer = gem_test_generate(two, PROMPT, options);
  for (; !answer->finished && times < 5; times++) {
    guint events = answer->text_events;

    /* Paused, it needs nothing: what is out stays out. */
    gem_generation_set_paused(answer->generation, TRUE);
    g_assert_true(page(test->engine, gem_engine_page_out_async, "stem", &error));
    check_state(test->engine, "stem", GEM_PATHWAY_ABSENT);
    gem_generation_set_paused(answer->generation, FALSE);
    while (!answer->finished && answer->text_events < events + 3) {
      g_main_context_iteration(NULL, TRUE);
    }
  }
  gem_test_answer_wait(answer);
  g_assert_cmpstr(answer->text->str, ==, expected->text->str);
  return times;
}

static void
test_in_mid_life(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_auto(GemGenerateOptions)
      options = {.max_tokens = 120, .temperature = 1, .seed = 4, .run = {.domain = g_strdup("stem")}};
  guint tries = 0;

  gem_test_engine_start(test);
  /* The engine may be done before the main loop comes to page out twice: then another answer. */
  while (page_out_during(test, &options) < 2) {
    options.seed++;
    g_assert_cmpuint(++tries, <, 50);
  }
}

/* Asked for, without a token that needs it. */
static void
test_page_in(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemPathwayInfo) info = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_engine_start(test);
  g_assert_true(page(test->engine, gem_engine_page_in_async, "finance", &error));
  check_state(test->engine, "finance", GEM_PATHWAY_RESIDENT);
  g_assert_true(page(test->engine, gem_engine_page_in_async, "finance", &error));
  g_assert_true(page(test->engine, gem_engine_page_in_async, "general", &error));
  info = gem_engine_get_pathway(test->engine, "finance");
  g_assert_cmpuint(info->bits, ==, 16);
  g_assert_cmpuint(info->file_bytes, >, info->resident_bytes / 2);
  g_assert_null(info->reason);
}

static void
test_refusals(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GError) error = NULL;

  gem_test_engine_start(test);
  g_assert_false(page(test->engine, gem_engine_page_out_async, "general", &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_clear_error(&error);
  g_assert_false(page(test->engine, gem_engine_page_in_async, "cooking", &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
  g_assert_nonnull(strstr(error->message, "cooking"));
  g_assert_null(gem_engine_get_pathway(test->engine, "cooking"));
  check_state(test->engine, "general", GEM_PATHWAY_RESIDENT);
}

/* How a test breaks a domain. */
typedef enum { REMOVED, CUT_SHORT, ALTERED } Damage;

static void
damage_file(const char *path, Damage damage)
{
  g_autofree char *contents = NULL;
  gsize length;

  if (damage == REMOVED) {
    g_assert_cmpint(g_remove(path), ==, 0);
    return;
  }
  g_assert_true(g_file_get_contents(path, &contents, &length, NULL));
  contents[length - 1] ^= 1;
  g_assert_true(
      g_file_set_contents(path, contents, (gssize)(damage == CUT_SHORT ? length / 2 : length), NULL));
}

/* Says so from the start; its tokens run through general; whoever insists on it gets an error; put right, it
 * comes when it is asked for. */
static void
test_damaged(gconstpointer data)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *path = g_build_filename(test->folder, "pathway-legal.gguf", NULL);
  g_autofree char *good = NULL;
  gsize length;
  g_auto(GemRunOptions) options = {.domain = g_strdup("legal")};
  g_autoptr(GemPathwayInfo) info = NULL;
  g_autoptr(GemSequence) sequence = NULL;
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_engine_write(test, FALSE);
  g_assert_true(g_file_get_contents(path, &good, &length, NULL));
  damage_file(path, (Damage)GPOINTER_TO_UINT(data));
  /* Every token is routed to some domain. */
  test->config.threshold_percent = 0;
  gem_test_engine_start(test);
  check_state(test->engine, "legal", GEM_PATHWAY_ABSENT);
  info = gem_engine_get_pathway(test->engine, "legal");
  g_assert_nonnull(info->reason);
  g_assert_nonnull(strstr(info->reason, "pathway-legal.gguf"));

  sequence = gem_engine_new_sequence(test->engine, &options, &error);
  g_assert_null(sequence);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_clear_error(&error);
  text = gem_test_greedy(test->engine, PROMPT, 10, NULL);
  g_assert_cmpuint(strlen(text), >, 0);
  check_state(test->engine, "legal", GEM_PATHWAY_ABSENT);
  g_assert_false(page(test->engine, gem_engine_page_in_async, "legal", &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_clear_error(&error);

  g_assert_true(g_file_set_contents(path, good, (gssize)length, NULL));
  g_assert_true(page(test->engine, gem_engine_page_in_async, "legal", &error));
  check_state(test->engine, "legal", GEM_PATHWAY_RESIDENT);
}

/* Broken after it was looked at: the forced turn fails, and says why; others degrade. */
static void
test_broken_later(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *path = g_build_filename(test->folder, "pathway-legal.gguf", NULL);
  g_auto(GemGenerateOptions) options = {.max_tokens = 5, .run = {.domain = g_strdup("legal")}};
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;

  gem_test_engine_start(test);
  damage_file(path, ALTERED);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  answer = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_FAILED);
  g_assert_error(answer->error, GEM_ERROR, GEM_ERROR_PATHWAY);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, 0);
}

/* Copies all modules of a kind but one. */
static void
copy_modules(const char *dir, GemPluginKind kind, const char *without)
{
  g_autoptr(GemPluginLoader) loader = gem_test_loader_new();
  g_auto(GStrv) names = gem_plugin_loader_list(loader, kind);

  for (char **name = names; *name != NULL; name++) {
    g_autofree char *file = g_strconcat(*name, ".so", NULL);
    g_autofree char *source = gem_test_build_path("plugins", gem_plugin_kind_folder(kind), file, NULL);

    if (g_strcmp0(*name, without) != 0) {
      g_free(gem_test_plugin_dir_add(dir, kind, *name, source));
    }
  }
}

static void
test_missing_module(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *dir = gem_test_plugin_dir_new();
  g_autoptr(GemPathwayInfo) info = NULL;
  g_autofree char *text = NULL;

  for (int kind = GEM_PLUGIN_ROUTER; kind <= GEM_PLUGIN_BACKEND; kind++) {
    copy_modules(dir, (GemPluginKind)kind, kind == GEM_PLUGIN_PATHWAY ? "stem" : NULL);
  }
  test->dirs[0] = dir;
  test->config.threshold_percent = 0;
  gem_test_engine_start(test);
  check_state(test->engine, "stem", GEM_PATHWAY_ABSENT);
  info = gem_engine_get_pathway(test->engine, "stem");
  g_assert_nonnull(info->reason);
  g_assert_nonnull(strstr(info->reason, "stem.so"));
  text = gem_test_greedy(test->engine, PROMPT, 10, NULL);
  g_assert_cmpuint(strlen(text), >, 0);
  check_state(test->engine, "stem", GEM_PATHWAY_ABSENT);
  gem_test_folder_remove(dir);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pager/in-and-out", test_in_and_out);
  g_test_add_func("/pager/in-mid-life", test_in_mid_life);
  g_test_add_func("/pager/page-in", test_page_in);
  g_test_add_func("/pager/refusals", test_refusals);
  g_test_add_data_func("/pager/damaged/removed", GUINT_TO_POINTER(REMOVED), test_damaged);
  g_test_add_data_func("/pager/damaged/cut-short", GUINT_TO_POINTER(CUT_SHORT), test_damaged);
  g_test_add_data_func("/pager/damaged/altered", GUINT_TO_POINTER(ALTERED), test_damaged);
  g_test_add_func("/pager/broken-later", test_broken_later);
  g_test_add_func("/pager/missing-module", test_missing_module);
  return g_test_run();
}
