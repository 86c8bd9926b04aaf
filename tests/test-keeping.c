/*
 * Pathways whose packed matrices are kept in the service's cache: they are mapped when they come in again,
 * gone when they go, and say the same, whatever became of the cache.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"
#include "tests/gem-test-patience.h"

#define PROMPT               "the old house on the hill"
#define TOKENS               10
#define SETTLED_MICROSECONDS (2200 * 1000)
#define PATIENCE             30 /* seconds */

typedef struct {
  GemTestEngine *test;
  char *cache;
  char *expected; /* what legal makes of PROMPT without a cache */
} Scene;

static void
start(Scene *self, const char *cache)
{
  gem_test_engine_free(g_steal_pointer(&self->test));
  self->test = gem_test_engine_new();
  self->test->config.cache_dir = cache;
  gem_test_engine_start(self->test);
}

static void
scene_init(Scene *self)
{
  self->cache = gem_test_folder_new();
  self->test = gem_test_engine_new();
  gem_test_engine_start(self->test);
  self->expected = gem_test_greedy(self->test->engine, PROMPT, TOKENS, "legal");
  start(self, self->cache);
}

static void
scene_clear(Scene *self)
{
  g_clear_pointer(&self->test, gem_test_engine_free);
  gem_test_folder_remove(self->cache);
  g_free(self->cache);
  g_free(self->expected);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

/* Paths of what is kept. */
static GPtrArray *
list_kept(const Scene *self)
{
  g_autofree char *folder = g_build_filename(self->cache, "cpu", NULL);
  GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
    g_ptr_array_add(files, g_build_filename(folder, name, NULL));
  }
  return files;
}

/* It is written while the service goes on. */
static char *
wait_for_the_one(const Scene *self)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;
  g_autoptr(GPtrArray) files = list_kept(self);

  while (files->len != 1 || g_str_has_suffix(files->pdata[0], ".new")) {
    g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    gem_test_run_main_loop(10);
    g_clear_pointer(&files, g_ptr_array_unref);
    files = list_kept(self);
  }
  return g_strdup(files->pdata[0]);
}

static void
wait_for_contents(const char *path, const char *expected, gsize length)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;
  gboolean there = FALSE;

  while (!there) {
    g_autofree char *text = NULL;
    gsize length_now = 0;

    g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    gem_test_run_main_loop(10);
    there = g_file_get_contents(path, &text, &length_now, NULL) && length_now == length &&
            memcmp(text, expected, length) == 0;
  }
}

static void
check_answer(const Scene *self)
{
  g_autofree char *answer = gem_test_greedy(self->test->engine, PROMPT, TOKENS, "legal");

  g_assert_cmpstr(answer, ==, self->expected);
}

static guint64
bytes_of_legal(const Scene *self)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(self->test->engine, "legal");

  g_assert_cmpuint(info->resident_bytes, >, 0);
  return info->resident_bytes;
}

static void
page_out(const Scene *self)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  gem_engine_page_out_async(self->test->engine, "legal", NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  gem_engine_page_finish(self->test->engine, result, &error);
  g_assert_no_error(error);
}

/* Packed when it comes for the first time, mapped from then on; nothing of general, which stays. */
static void
test_again(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *kept = NULL;
  guint64 packed_bytes;

  scene_init(&scene);
  check_answer(&scene);
  packed_bytes = bytes_of_legal(&scene);
  kept = wait_for_the_one(&scene);
  g_assert_false(gem_test_is_mapped(kept));
  for (guint round = 0; round < 2; round++) {
    page_out(&scene);
    g_assert_false(gem_test_is_mapped(kept));
    check_answer(&scene);
    g_assert_true(gem_test_is_mapped(kept));
    g_assert_cmpuint(bytes_of_legal(&scene), ==, packed_bytes);
  }
  start(&scene, scene.cache);
  check_answer(&scene);
  g_assert_true(gem_test_is_mapped(kept));
}

/* A cache that was damaged while the service did not run is made anew. */
static void
test_damaged(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *kept = NULL, *text = NULL;
  gsize length;

  scene_init(&scene);
  check_answer(&scene);
  kept = wait_for_the_one(&scene);
  g_assert_true(g_file_get_contents(kept, &text, &length, NULL));
  text[length / 2] = (char)~text[length / 2];
  g_assert_true(g_file_set_contents_full(kept, text, (gssize)length, 0, 0600, NULL));
  text[length / 2] = (char)~text[length / 2];
  start(&scene, scene.cache);
  check_answer(&scene);
  g_assert_false(gem_test_is_mapped(kept));
  wait_for_contents(kept, text, length);
}

/* Where nothing can be kept, nothing is: a folder that is not there, or not private. */
static void
test_nowhere(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *missing = NULL;

  scene_init(&scene);
  missing = g_build_filename(scene.cache, "missing", NULL);
  start(&scene, missing);
  check_answer(&scene);
  g_assert_cmpint(g_chmod(scene.cache, 0770), ==, 0);
  start(&scene, scene.cache);
  check_answer(&scene);
  g_autoptr(GPtrArray) files = list_kept(&scene);
  g_assert_cmpuint(files->len, ==, 0);
}

/* A pathway's file that changes later counts for nothing by what was kept of it before. */
static void
test_replaced(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *path = NULL, *good = NULL, *answer = NULL;
  g_autoptr(GError) error = NULL;
  gsize length;

  scene_init(&scene);
  check_answer(&scene);
  page_out(&scene);
  path = g_build_filename(scene.test->folder, "pathway-legal.gguf", NULL);
  g_assert_true(g_file_get_contents(path, &good, &length, NULL));
  good[length - 1] = (char)~good[length - 1];
  g_assert_true(g_file_set_contents(path, good, (gssize)length, NULL));
  GAsyncResult *slot = NULL;
  gem_engine_page_in_async(scene.test->engine, "legal", NULL, gem_test_keep_result, &slot);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_false(gem_engine_page_finish(scene.test->engine, result, &error));
  g_assert_nonnull(strstr(error->message, "legal"));
}

/* A file that becomes another one while it is read: what was made of it is not kept, though its hash was
 * right when it was opened. */
static void
test_altered(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *altering = gem_test_build_path("tests", "plugin-altering", "altering.so", NULL);
  g_autofree char *modules = gem_test_plugin_dir_new();
  g_autofree char *module = gem_test_plugin_dir_add(modules, GEM_PLUGIN_PATHWAY, "legal", altering);
  g_autofree char *own = gem_test_build_path("plugins", NULL);
  const char *dirs[] = {modules, own, NULL};
  GAsyncResult *slot = NULL;
  g_autoptr(GError) error = NULL;

  scene_init(&scene);
  gem_test_engine_free(g_steal_pointer(&scene.test));
  scene.test = gem_test_engine_new();
  scene.test->config.cache_dir = scene.cache;
  scene.test->config.plugin_dirs = dirs;
  gem_test_engine_start(scene.test);
  g_usleep(SETTLED_MICROSECONDS); /* until then a file is read whole before anything is made of it */
  gem_engine_page_in_async(scene.test->engine, "legal", NULL, gem_test_keep_result, &slot);
  g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
  g_assert_false(gem_engine_page_finish(scene.test->engine, result, &error));
  g_assert_nonnull(strstr(error->message, "changed while it was read"));
  g_clear_object(&result);
  gem_test_engine_free(g_steal_pointer(&scene.test)); /* whatever was being written is done then */
  g_autoptr(GPtrArray) files = list_kept(&scene);
  g_assert_cmpuint(files->len, ==, 0);
  gem_test_folder_remove(modules);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/keeping/again", test_again);
  g_test_add_func("/keeping/damaged", test_damaged);
  g_test_add_func("/keeping/nowhere", test_nowhere);
  g_test_add_func("/keeping/replaced", test_replaced);
  g_test_add_func("/keeping/altered", test_altered);
  return g_test_run();
}
