#include "tests/gem-test-modules.h"

#include <glib/gstdio.h>
#include <string.h>

GemPluginLoader *
gem_test_loader_new(void)
{
  g_autofree char *dir = gem_test_build_path("plugins", NULL);
  const char *dirs[] = {dir, NULL};
  return gem_plugin_loader_new(dirs);
}

GemPluginModule *
gem_test_module_open(GemPluginKind kind, const char *name)
{
  g_autoptr(GemPluginLoader) loader = gem_test_loader_new();
  g_autoptr(GError) error = NULL;
  GemPluginModule *module = gem_plugin_loader_open(loader, kind, name, &error);
  g_assert_no_error(error);
  return module;
}

char *
gem_test_build_path(const char *first, ...)
{
  const char *build = g_getenv("GEM_BUILD_DIR");
  g_assert_nonnull(build);
  va_list arguments;
  va_start(arguments, first);
  g_autofree char *path = g_build_filename_valist(first, &arguments);
  va_end(arguments);
  return g_build_filename(build, path, NULL);
}

char *
gem_test_plugin_dir_new(void)
{
  g_autoptr(GError) error = NULL;
  char *dir = g_dir_make_tmp("gem-plugins-XXXXXX", &error);
  g_assert_no_error(error);
  return dir;
}

char *
gem_test_plugin_dir_add(const char *dir, GemPluginKind kind, const char *name, const char *source)
{
  g_autofree char *folder = g_build_filename(dir, gem_plugin_kind_folder(kind), NULL);
  g_autofree char *file = g_strconcat(name, ".so", NULL);
  g_autofree char *path = g_build_filename(folder, file, NULL);
  g_autofree char *contents = NULL;
  gsize length;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
  g_assert_cmpint(g_chmod(folder, 0755), ==, 0);
  g_file_get_contents(source, &contents, &length, &error);
  g_assert_no_error(error);
  g_file_set_contents_full(path, contents, (gssize)length, G_FILE_SET_CONTENTS_NONE, 0644, &error);
  g_assert_no_error(error);
  g_assert_cmpint(g_chmod(path, 0644), ==, 0);
  return g_steal_pointer(&path);
}

gboolean
gem_test_is_mapped(const char *path)
{
  g_autofree char *maps = NULL;
  g_autofree char *real = realpath(path, NULL);
  g_autoptr(GError) error = NULL;
  g_file_get_contents("/proc/self/maps", &maps, NULL, &error);
  g_assert_no_error(error);
  return strstr(maps, real) != NULL;
}
