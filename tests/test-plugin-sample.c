/*
 * A plugin from outside the tree: the header, the symbol map and the pkg-config file are installed into an
 * empty folder, the sample is built against them alone, and the loader takes what comes out.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "tests/gem-test-modules.h"

/* Runs a program and expects it to succeed; its output stands in the log when it does not. */
static void
run(char **environment, const char *folder, const char *const *arguments)
{
  g_autofree char *output = NULL;
  g_autofree char *problems = NULL;
  g_autoptr(GError) error = NULL;
  int status;
  g_spawn_sync(folder, (char **)arguments, environment, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &problems,
               &status, &error);
  g_assert_no_error(error);
  if (!g_spawn_check_wait_status(status, &error)) {
    g_error("%s: %s\n%s%s", arguments[0], error->message, output, problems);
  }
}

/* The folder below `root` that holds a file of that name; transfer full. */
static char *
find_folder_of(const char *root, const char *file)
{
  g_autoptr(GDir) entries = g_dir_open(root, 0, NULL);
  const char *name;
  while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
    g_autofree char *path = g_build_filename(root, name, NULL);
    if (strcmp(name, file) == 0) {
      return g_strdup(root);
    }
    char *found = g_file_test(path, G_FILE_TEST_IS_DIR) ? find_folder_of(path, file) : NULL;
    if (found != NULL) {
      return found;
    }
  }
  return NULL;
}

static void
copy_sample(const char *name, const char *folder)
{
  g_autofree char *from = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "tests", "plugin-sample", name, NULL);
  g_autofree char *to = g_build_filename(folder, name, NULL);
  g_autofree char *contents = NULL;
  gsize length;
  g_autoptr(GError) error = NULL;
  g_file_get_contents(from, &contents, &length, &error);
  g_assert_no_error(error);
  g_file_set_contents(to, contents, (gssize)length, &error);
  g_assert_no_error(error);
}

/* Installs what developers of plugins get, and sets pkg-config to that alone. */
static char **
install_headers(const char *root)
{
  const char *meson[] = {"meson",        "install", "-C",    g_getenv("GEM_BUILD_DIR"),
                         "--no-rebuild", "--tags",  "devel", "--destdir",
                         root,           NULL};
  run(NULL, NULL, meson);
  g_autofree char *folder = find_folder_of(root, "gemd-plugin.pc");
  g_assert_nonnull(folder);

  char **environment = g_get_environ();
  environment = g_environ_setenv(environment, "PKG_CONFIG_LIBDIR", folder, TRUE);
  environment = g_environ_unsetenv(environment, "PKG_CONFIG_PATH");
  environment = g_environ_setenv(environment, "PKG_CONFIG_SYSROOT_DIR", root, TRUE);
  return g_environ_setenv(environment, "CC", g_getenv("GEM_TEST_CC"), TRUE);
}

static void
test_build_and_load(void)
{
  g_autofree char *root = gem_test_plugin_dir_new();
  g_autofree char *dir = gem_test_plugin_dir_new();
  g_autofree char *source = gem_test_plugin_dir_new();
  g_auto(GStrv) environment = install_headers(root);
  copy_sample("recent.c", source);
  copy_sample("Makefile", source);
  const char *make[] = {"make", "-e", "recent.so", NULL};
  run(environment, source, make);

  g_autofree char *built = g_build_filename(source, "recent.so", NULL);
  g_autofree char *path = gem_test_plugin_dir_add(dir, GEM_PLUGIN_ATTENTION, "recent", built);
  const char *dirs[] = {dir, NULL};
  g_autoptr(GemPluginLoader) loader = gem_plugin_loader_new(dirs);
  g_autoptr(GError) error = NULL;
  GemPluginModule *module = gem_plugin_loader_open(loader, GEM_PLUGIN_ATTENTION, "recent", &error);
  g_assert_no_error(error);
  const GemPlugin *plugin = gem_plugin_module_get(module);
  g_assert_cmpstr(plugin->version, ==, "0.1");
  const GemAttentionFunctions *functions = plugin->functions;
  g_assert_false(functions->needs_clusters(NULL));
  gem_plugin_module_close(module);
  g_assert_false(gem_test_is_mapped(path));

  gem_test_folder_remove(root);
  gem_test_folder_remove(dir);
  gem_test_folder_remove(source);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/plugin-sample/build-and-load", test_build_and_load);
  return g_test_run();
}
