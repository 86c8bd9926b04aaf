#include "tests/gem-test-folder.h"

#include <glib/gstdio.h>

char *
gem_test_folder_new(void)
{
  g_autoptr(GError) error = NULL;
  char *dir = g_dir_make_tmp("gem-test-XXXXXX", &error);

  g_assert_no_error(error);
  return dir;
}

void
gem_test_folder_remove(const char *dir)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) entries = g_dir_open(dir, 0, &error);
  const char *name;

  g_assert_no_error(error);
  while ((name = g_dir_read_name(entries)) != NULL) {
    g_autofree char *path = g_build_filename(dir, name, NULL);

    if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
      gem_test_folder_remove(path);
    } else {
      g_assert_cmpint(g_unlink(path), ==, 0);
    }
  }
  g_assert_cmpint(g_rmdir(dir), ==, 0);
}

void
gem_test_write_text(const char *dir, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename(dir, path, NULL);
  g_autofree char *folder = g_path_get_dirname(full);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_file_set_contents(full, text, -1, &error);
  g_assert_no_error(error);
}
