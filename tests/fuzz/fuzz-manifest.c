/* Any bytes as a model folder's manifest. */
#include <glib/gstdio.h>

#include "format/gem-manifest.h"
#include "tests/fuzz/gem-fuzz.h"

static const char *folder;

static void
remove_folder(void)
{
  g_autofree char *path = g_build_filename(folder, "manifest", NULL);

  g_unlink(path);
  g_rmdir(folder);
}

static const char *
make_folder(void)
{
  folder = g_dir_make_tmp("gem-fuzz-XXXXXX", NULL);
  g_assert_nonnull(folder);
  atexit(remove_folder);
  return folder;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  const char *dir = folder != NULL ? folder : make_folder();
  g_autofree char *path = g_build_filename(dir, "manifest", NULL);
  g_autoptr(GemManifest) manifest = NULL;
  const char *const *file;
  GError *error = NULL;
  FILE *file_stream;

  file_stream = fopen(path, "wb");
  g_assert_true(file_stream != NULL && (size == 0 || fwrite(data, size, 1, file_stream) == 1));
  g_assert_cmpint(fclose(file_stream), ==, 0);
  manifest = gem_manifest_load(dir, &error);
  gem_fuzz_check_outcome(manifest != NULL, error);
  for (file = manifest != NULL ? gem_manifest_get_files(manifest) : NULL; file != NULL && *file != NULL;
       file++) {
    /* A name that would lead out of the folder is none. */
    g_assert_null(strchr(*file, '/'));
    g_assert_true(gem_manifest_has_file(manifest, *file));
    g_assert_false(gem_manifest_verify(manifest, *file, NULL));
  }
  return 0;
}
