/* The record of files that were found right: what counts, what does not, and who may have written it. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/gem-gguf.h"
#include "format/gem-manifest.h"

#define HASH  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff00112233445566778899aabbccddee00"

typedef struct {
  char *dir;  /* mode 0700 */
  char *file; /* DIR/verified */
} Folder;

static void
folder_set_up(Folder *folder, gconstpointer data)
{
  folder->dir = g_dir_make_tmp("gem-verified-XXXXXX", NULL);
  folder->file = g_build_filename(folder->dir, "verified", NULL);
}

static void
folder_tear_down(Folder *folder, gconstpointer data)
{
  g_autoptr(GDir) dir = g_dir_open(folder->dir, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name(dir)) != NULL) {
    g_autofree char *path = g_build_filename(folder->dir, name, NULL);
    g_assert_cmpint(g_unlink(path), ==, 0);
  }
  g_assert_cmpint(g_rmdir(folder->dir), ==, 0);
  g_free(folder->file);
  g_free(folder->dir);
}

static GemFileIdentity
some_identity(void)
{
  return (GemFileIdentity){.device = 8,
                           .inode = 4711,
                           .size = 123,
                           .modified = {1700000000, 1},
                           .changed = {1700000001, 999999999}};
}

static void
save(GemVerified *record)
{
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_verified_save(record, &error));
  g_assert_no_error(error);
}

/* Writes a record of one file. */
static void
write_record(const Folder *folder)
{
  g_autoptr(GemVerified) record = gem_verified_open(folder->dir);
  GemFileIdentity identity = some_identity();
  gem_verified_add(record, &identity, HASH);
  save(record);
}

static gboolean
knows(const Folder *folder)
{
  g_autoptr(GemVerified) record = gem_verified_open(folder->dir);
  GemFileIdentity identity = some_identity();
  return gem_verified_has(record, &identity, HASH);
}

static void
test_kept(Folder *folder, gconstpointer data)
{
  g_assert_false(knows(folder));
  write_record(folder);
  g_assert_true(knows(folder));
}

/* Any other identity, and any other hash, is another file. */
static void
test_others(Folder *folder, gconstpointer data)
{
  write_record(folder);
  g_autoptr(GemVerified) record = gem_verified_open(folder->dir);
  GemFileIdentity identities[7];
  for (guint i = 0; i < G_N_ELEMENTS(identities); i++) {
    identities[i] = some_identity();
  }
  identities[0].device++;
  identities[1].inode++;
  identities[2].size++;
  identities[3].modified.tv_sec++;
  identities[4].modified.tv_nsec++;
  identities[5].changed.tv_sec++;
  identities[6].changed.tv_nsec--;
  for (guint i = 0; i < G_N_ELEMENTS(identities); i++) {
    g_assert_false(gem_verified_has(record, &identities[i], HASH));
  }
  GemFileIdentity identity = some_identity();
  g_assert_false(gem_verified_has(record, &identity, OTHER));
  g_assert_true(gem_verified_has(record, &identity, HASH));
}

/* What nobody asked for any more is dropped when something is added. */
static void
test_forgets(Folder *folder, gconstpointer data)
{
  write_record(folder);
  g_autoptr(GemVerified) record = gem_verified_open(folder->dir);
  GemFileIdentity identity = some_identity(), none = {0};
  identity.inode = 1;
  gem_verified_add(record, &none, HASH);
  gem_verified_add(record, &identity, OTHER);
  save(record);
  g_assert_false(knows(folder));
  g_autoptr(GemVerified) again = gem_verified_open(folder->dir);
  g_assert_true(gem_verified_has(again, &identity, OTHER));
  g_assert_false(gem_verified_has(again, &none, HASH));
}

/* A record or a folder that others may write to, and one that is a link, are as good as none. */
static void
test_distrusted(Folder *folder, gconstpointer data)
{
  write_record(folder);
  g_assert_cmpint(g_chmod(folder->file, 0660), ==, 0);
  g_assert_false(knows(folder));
  g_assert_cmpint(g_chmod(folder->file, 0600), ==, 0);
  g_assert_true(knows(folder));

  g_assert_cmpint(g_chmod(folder->dir, 0777), ==, 0);
  g_assert_false(knows(folder));
  g_assert_cmpint(g_unlink(folder->file), ==, 0);
  write_record(folder);
  g_assert_false(g_file_test(folder->file, G_FILE_TEST_EXISTS));
  g_assert_cmpint(g_chmod(folder->dir, 0700), ==, 0);

  write_record(folder);
  g_autofree char *moved = g_strconcat(folder->file, ".moved", NULL);
  g_assert_cmpint(g_rename(folder->file, moved), ==, 0);
  g_assert_cmpint(symlink(moved, folder->file), ==, 0);
  g_assert_false(knows(folder));
}

/* Whatever stands in the file, nothing of it counts unless all of it reads. */
static void
test_broken(Folder *folder, gconstpointer data)
{
  write_record(folder);
  g_autofree char *good = NULL;
  g_assert_true(g_file_get_contents(folder->file, &good, NULL, NULL));
  const char *const tails[] = {"x\n", HASH " 1 2 3\n", HASH " 1 2 3 4 5 6 seven\n", HASH " 1 2 3 4 5 6 -7\n",
                               "\n\n"};
  for (guint i = 0; i < G_N_ELEMENTS(tails); i++) {
    g_autofree char *text = g_strconcat(good, tails[i], NULL);
    g_assert_true(
        g_file_set_contents_full(folder->file, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
    g_assert_false(knows(folder));
  }
  g_autofree char *large = g_strnfill(100000, '\n');
  g_assert_true(
      g_file_set_contents_full(folder->file, large, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  g_assert_false(knows(folder));
  g_assert_true(g_file_set_contents_full(folder->file, good, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  g_assert_true(knows(folder));
}

static void
test_no_folder(Folder *folder, gconstpointer data)
{
  g_autofree char *missing = g_build_filename(folder->dir, "missing", NULL);
  g_autoptr(GemVerified) record = gem_verified_open(missing);
  GemFileIdentity identity = some_identity();
  gem_verified_add(record, &identity, HASH);
  g_assert_true(gem_verified_has(record, &identity, HASH));
  save(record);
  g_assert_false(g_file_test(missing, G_FILE_TEST_EXISTS));
}

/* ---- with a manifest ---- */

/* Reads the model's file as a start of the service does; the times that it was hashed. */
static guint
start(const Folder *folder, const char *model, GError **error)
{
  g_autoptr(GemVerified) record = gem_verified_open(folder->dir);
  g_autoptr(GemManifest) manifest = gem_manifest_load(model, NULL);
  g_autoptr(GemFileReader) reader = NULL;
  g_autoptr(GBytes) bytes = NULL;
  gem_manifest_set_record(manifest, record);
  gem_manifest_open(manifest, "general.gguf", &reader, &bytes, error);
  save(record);
  return gem_manifest_get_hashed(manifest);
}

static void
test_second_start(Folder *folder, gconstpointer data)
{
  g_autofree char *model = g_dir_make_tmp("gem-verified-model-XXXXXX", NULL);
  g_autofree char *path = g_build_filename(model, "general.gguf", NULL);
  g_autofree char *manifest = g_build_filename(model, "manifest", NULL);
  g_autoptr(GError) error = NULL;
  g_assert_true(g_file_set_contents(path, "some bytes", -1, NULL));
  g_assert_true(gem_manifest_write(model, "m", (const char *const[]){"general.gguf", NULL}, NULL));
  g_usleep(G_USEC_PER_SEC * 21 / 10); /* until a change would show */
  g_assert_cmpuint(start(folder, model, &error), ==, 1);
  g_assert_no_error(error);
  g_assert_cmpuint(start(folder, model, &error), ==, 0);
  g_assert_no_error(error);

  /* Other bytes of the same length, and the same time of modification. */
  GStatBuf status;
  g_assert_cmpint(g_stat(path, &status), ==, 0);
  g_assert_true(g_file_set_contents(path, "same bytes", -1, NULL));
  struct timespec times[2] = {status.st_atim, status.st_mtim};
  g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
  start(folder, model, &error);
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_cmpint(g_unlink(manifest), ==, 0);
  g_assert_cmpint(g_rmdir(model), ==, 0);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*test)(Folder *folder, gconstpointer data);
  } tests[] = {{"kept", test_kept},
               {"others", test_others},
               {"forgets", test_forgets},
               {"distrusted", test_distrusted},
               {"broken", test_broken},
               {"no-folder", test_no_folder},
               {"second-start", test_second_start}};
  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_autofree char *path = g_strconcat("/verified/", tests[i].name, NULL);
    g_test_add(path, Folder, NULL, folder_set_up, tests[i].test, folder_tear_down);
  }
  return g_test_run();
}
