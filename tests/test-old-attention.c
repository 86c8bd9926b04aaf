/* Attention of an older plugin ABI: it is not given models that it would read wrongly. */
#include <string.h>

#include "dbus/gem-error.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"

static GemEngine *
open_with_old(guint successors, GError **error)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *dir = gem_test_folder_new(),
                  *built = gem_test_build_path("tests", "plugin-old", "older.so", NULL);
  g_autofree char *path = gem_test_plugin_dir_add(dir, GEM_PLUGIN_ATTENTION, "older", built);
  const char *dirs[] = {dir, test->plugin_dir, NULL};

  test->shape.successors = successors;
  test->config.plugin_dirs = dirs;
  test->config.attention = "older";
  gem_test_engine_write(test, FALSE);
  GemEngine *engine = gem_engine_new(&test->config, error);
  gem_test_folder_remove(dir);
  return engine;
}

static void
test_successors(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEngine) engine = open_with_old(1, &error);

  g_assert_null(engine);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_MODEL);
  g_assert_nonnull(strstr(error->message, "attention older: its plugin is of an ABI before 1.3"));
}

static void
test_own_clusters(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEngine) engine = open_with_old(0, &error);

  g_assert_no_error(error);
  g_assert_nonnull(engine);
  gem_engine_stop(engine);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/old-attention/successors", test_successors);
  g_test_add_func("/old-attention/own-clusters", test_own_clusters);
  return g_test_run();
}
