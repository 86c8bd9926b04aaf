/* What npu-ort keeps of compiled models: that it is whole, of the right name, and not too much. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include <glib/gstdio.h>

#include "plugins/backends/npu-ort/gem-npu-blobs.h"
#include "plugins/backends/npu-ort/gem-npu-sha256.h"
#include "tests/gem-test-folder.h"

/* Against GLib's, for lengths around a block's end, in parts of all sizes. */
static void
test_sha256(void)
{
  guint8 data[300];
  for (gsize i = 0; i < sizeof data; i++) {
    data[i] = (guint8)(i * 7 + 1);
  }
  for (gsize size = 0; size <= sizeof data; size++) {
    GemNpuSha256 sum;
    guint8 hash[GEM_NPU_SHA256_BYTES];
    g_autoptr(GString) found = g_string_new(NULL);
    gem_npu_sha256_begin(&sum);
    for (gsize done = 0; done < size;) {
      gsize part = MIN(size - done, size % 67 + 1);
      gem_npu_sha256_update(&sum, data + done, part);
      done += part;
    }
    gem_npu_sha256_finish(&sum, hash);
    for (gsize i = 0; i < sizeof hash; i++) {
      g_string_append_printf(found, "%02x", hash[i]);
    }
    g_autofree char *expected = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, size);
    g_assert_cmpstr(found->str, ==, expected);
  }
}

static char *
path_of(const char *dir, const char *name)
{
  return g_build_filename(dir, name, NULL);
}

static void
open_folder(const char *dir)
{
  GemPluginError error = {""};
  g_assert_true(gem_npu_blobs_open(dir, &error));
  g_assert_cmpstr(error.message, ==, "");
}

/* As a provider writes it. */
static void
keep(const char *dir, const char *key, const char *text, gsize most)
{
  char draft[512];
  gem_npu_blob_draft(dir, key, draft, sizeof draft);
  g_assert_false(g_file_test(draft, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_set_contents(draft, text, -1, NULL));
  gem_npu_blob_keep(dir, key, draft, most);
  g_assert_false(g_file_test(draft, G_FILE_TEST_EXISTS));
}

static void
assert_has(const char *dir, const char *key, const char *text)
{
  guint8 *bytes = NULL;
  gsize size = 0;
  gboolean has = gem_npu_blob_load(dir, key, &bytes, &size);
  g_assert_cmpint(has, ==, text != NULL);
  if (has && text != NULL) {
    g_assert_cmpmem(bytes, size, text, strlen(text));
    free(bytes);
  }
}

static guint
count_files(const char *dir)
{
  g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
  guint n = 0;
  while (g_dir_read_name(entries) != NULL) {
    n++;
  }
  return n;
}

static void
test_keys(void)
{
  char a[GEM_NPU_BLOB_KEY], b[GEM_NPU_BLOB_KEY];
  gem_npu_blob_key("model", 5, "provider 1.0", a);
  gem_npu_blob_key("model", 5, "provider 1.0", b);
  g_assert_cmpstr(a, ==, b);
  g_assert_cmpuint(strlen(a), ==, 64);
  gem_npu_blob_key("model", 5, "provider 1.1", b);
  g_assert_cmpstr(a, !=, b);
  gem_npu_blob_key("modem", 5, "provider 1.0", b);
  g_assert_cmpstr(a, !=, b);
}

static void
test_kept(void)
{
  g_autofree char *folder = gem_test_folder_new(), *dir = g_build_filename(folder, "npu-ort", NULL);
  char key[GEM_NPU_BLOB_KEY], other[GEM_NPU_BLOB_KEY];
  gem_npu_blob_key("a", 1, "x", key);
  gem_npu_blob_key("b", 1, "x", other);
  open_folder(dir);
  assert_has(dir, key, NULL);
  keep(dir, key, "compiled", GEM_NPU_BLOBS_MOST);
  assert_has(dir, key, "compiled");
  assert_has(dir, key, "compiled");
  keep(dir, key, "compiled anew", GEM_NPU_BLOBS_MOST);
  assert_has(dir, key, "compiled anew");

  keep(dir, other, "to go", GEM_NPU_BLOBS_MOST);
  gem_npu_blob_remove(dir, other);
  assert_has(dir, other, NULL);

  /* A provider that wrote nothing. */
  char draft[512];
  gem_npu_blob_draft(dir, other, draft, sizeof draft);
  gem_npu_blob_keep(dir, other, draft, GEM_NPU_BLOBS_MOST);
  assert_has(dir, other, NULL);
  g_assert_cmpuint(count_files(dir), ==, 1);

  /* Another one's contents under its name. */
  g_autofree char *path = path_of(dir, key), *other_path = path_of(dir, other), *contents = NULL;
  gsize size;
  g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
  g_assert_true(g_file_set_contents(other_path, contents, (gssize)size, NULL));
  assert_has(dir, other, NULL);
  g_assert_false(g_file_test(other_path, G_FILE_TEST_EXISTS));

  /* Any bit of it turned, or its end missing: it is thrown away. */
  for (gsize i = 0; i < size; i++) {
    contents[i] ^= 4;
    g_assert_true(g_file_set_contents(path, contents, (gssize)size, NULL));
    assert_has(dir, key, NULL);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    contents[i] ^= 4;
    g_assert_true(g_file_set_contents(path, contents, (gssize)i, NULL));
    assert_has(dir, key, NULL);
  }
  gem_test_folder_remove(folder);
}

/* Those that were not used for longest go, and what was being written when a service ended. */
static void
test_bounded(void)
{
  g_autofree char *top = gem_test_folder_new(), *folder = g_build_filename(top, "npu-ort", NULL);
  char keys[5][GEM_NPU_BLOB_KEY];
  GemPluginError error = {""};
  open_folder(folder);
  for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
    gem_npu_blob_key(&i, sizeof i, "", keys[i]);
  }
  for (guint i = 0; i < 4; i++) { /* 132 bytes each, with the hash */
    g_autofree char *path = path_of(folder, keys[i]), *text = g_strnfill(100, 'a' + (char)i);
    keep(folder, keys[i], text, GEM_NPU_BLOBS_MOST);
    const struct utimbuf times = {.actime = 1000 + i, .modtime = 1000 + i};
    g_assert_cmpint(g_utime(path, (struct utimbuf *)&times), ==, 0);
  }
  g_autofree char *first = g_strnfill(100, 'a'), *fourth = g_strnfill(100, 'd'),
                  *fifth = g_strnfill(100, 'e');
  assert_has(folder, keys[0], first); /* it is used */
  g_assert_cmpuint(count_files(folder), ==, 4);
  keep(folder, keys[4], fifth, 3 * 132);
  g_assert_cmpuint(count_files(folder), ==, 3);
  assert_has(folder, keys[0], first);
  assert_has(folder, keys[1], NULL);
  assert_has(folder, keys[2], NULL);
  assert_has(folder, keys[3], fourth);
  assert_has(folder, keys[4], fifth);

  g_autofree char *part = g_strconcat(folder, "/", keys[1], ".part", NULL);
  g_autofree char *draft = g_strconcat(folder, "/", keys[1], ".draft", NULL);
  g_assert_true(g_file_set_contents(part, "half", -1, NULL));
  g_assert_true(g_file_set_contents(draft, "half", -1, NULL));
  open_folder(folder);
  g_assert_cmpuint(count_files(folder), ==, 3);
  g_autofree char *nowhere = path_of(folder, "a/b");
  g_assert_false(gem_npu_blobs_open(nowhere, &error));
  g_assert_nonnull(strstr(error.message, "a/b is not used: No such file"));
  gem_test_folder_remove(top);
}

/* Two that compile the same graph do not meet, and a folder that is opened meanwhile leaves both alone. */
static void
test_drafts(void)
{
  g_autofree char *top = gem_test_folder_new(), *folder = g_build_filename(top, "npu-ort", NULL);
  char key[GEM_NPU_BLOB_KEY], first[512], second[512];
  open_folder(folder);
  gem_npu_blob_key("a", 1, "x", key);
  gem_npu_blob_draft(folder, key, first, sizeof first);
  g_assert_true(g_file_set_contents(first, "the first", -1, NULL));
  gem_npu_blob_draft(folder, key, second, sizeof second);
  g_assert_cmpstr(first, !=, second);
  g_assert_true(g_file_set_contents(second, "the second", -1, NULL));
  open_folder(folder);
  gem_npu_blob_keep(folder, key, first, GEM_NPU_BLOBS_MOST);
  assert_has(folder, key, "the first");
  gem_npu_blob_keep(folder, key, second, GEM_NPU_BLOBS_MOST);
  assert_has(folder, key, "the second");
  g_assert_cmpuint(count_files(folder), ==, 1);

  pid_t gone = fork(); /* of a process that is no more */
  if (gone == 0) {
    _exit(0);
  }
  g_assert_cmpint(waitpid(gone, NULL, 0), ==, gone);
  g_autofree char *left = g_strdup_printf("%s/%s.%d-0.draft", folder, key, (int)gone);
  g_autofree char *others = g_strdup_printf("%s/%s.%d-0.draft", folder, key, (int)getppid());
  g_assert_true(g_file_set_contents(left, "half", -1, NULL));
  g_assert_true(g_file_set_contents(others, "half", -1, NULL));
  open_folder(folder);
  g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_test(others, G_FILE_TEST_EXISTS));
  gem_test_folder_remove(top);
}

/* Whether the folder is taken; if not, `path` is named. */
static void
check_open(const char *dir, const char *path, gboolean taken)
{
  GemPluginError error = {""};
  g_assert_cmpint(gem_npu_blobs_open(dir, &error), ==, taken);
  g_autofree char *expected =
      g_strdup_printf("%s is not used: it must belong to user %u or root, and be writable by that one alone",
                      path, (guint)geteuid());
  g_assert_cmpstr(error.message, ==, taken ? "" : expected);
}

/* What others could have written is not used: it is code. */
static void
test_trusted(void)
{
  g_autofree char *folder = gem_test_folder_new(), *dir = g_build_filename(folder, "npu-ort", NULL);
  g_autofree char *above = g_build_filename(dir, "..", NULL);
  char key[GEM_NPU_BLOB_KEY];
  gem_npu_blob_key("a", 1, "x", key);
  g_autofree char *path = path_of(dir, key), *moved = g_strconcat(dir, ".moved", NULL);
  check_open(dir, dir, TRUE);
  keep(dir, key, "compiled", GEM_NPU_BLOBS_MOST);
  static const int modes[] = {0720, 0702};
  for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
    g_assert_cmpint(g_chmod(dir, modes[i]), ==, 0);
    check_open(dir, dir, FALSE);
    g_assert_cmpint(g_chmod(dir, 0755), ==, 0);
    check_open(dir, dir, TRUE);
    g_assert_cmpint(g_chmod(folder, modes[i]), ==, 0);
    check_open(dir, above, FALSE);
    g_assert_cmpint(g_chmod(folder, 0700), ==, 0);
    g_assert_cmpint(g_chmod(path, modes[i]), ==, 0);
    assert_has(dir, key, NULL);
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
    assert_has(dir, key, "compiled");
  }
  if (geteuid() == 0) {
    g_assert_cmpint(chown(path, 65534, 0), ==, 0);
    assert_has(dir, key, NULL);
    keep(dir, key, "compiled anew", GEM_NPU_BLOBS_MOST); /* its place is taken */
    assert_has(dir, key, "compiled anew");
    g_assert_cmpint(chown(dir, 65534, 0), ==, 0);
    check_open(dir, dir, FALSE);
    g_assert_cmpint(chown(dir, 0, 0), ==, 0);
  }
  g_assert_cmpint(g_rename(dir, moved), ==, 0);
  g_assert_cmpint(symlink(moved, dir), ==, 0);
  GemPluginError error = {""};
  g_assert_false(gem_npu_blobs_open(dir, &error));
  g_assert_nonnull(strstr(error.message, "npu-ort is not used: "));
  g_assert_cmpint(g_unlink(dir), ==, 0);
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  umask(022); /* files that a group may write to are not read */
  g_test_add_func("/npu-blobs/sha256", test_sha256);
  g_test_add_func("/npu-blobs/keys", test_keys);
  g_test_add_func("/npu-blobs/kept", test_kept);
  g_test_add_func("/npu-blobs/bounded", test_bounded);
  g_test_add_func("/npu-blobs/drafts", test_drafts);
  g_test_add_func("/npu-blobs/trusted", test_trusted);
  return g_test_run();
}
