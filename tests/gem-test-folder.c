#include "tests/gem-test-folder.h"

#include <glib/gstdio.h>

void
gem_test_write_file(const char *folder, const char *path, const char *content)
{
  g_autofree char *full = g_build_filename(folder, path, NULL);
  g_autofree char *above = g_path_get_dirname(full);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint(g_mkdir_with_parents(above, 0700), ==, 0);
  g_file_set_contents(full, content, -1, &error);
  g_assert_no_error(error);
}

void
gem_test_remove_folder(const char *folder)
{
  g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
  const char *name;

  while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
    g_autofree char *path = g_build_filename(folder, name, NULL);

    if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
      gem_test_remove_folder(path);
    } else {
      g_assert_cmpint(g_unlink(path), ==, 0);
    }
  }
  g_assert_cmpint(g_rmdir(folder), ==, 0);
}
