/* Files read in parts: what is read, hashed and found changed; and SHA-256 against the standard. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "format/gem-file-reader.h"
#include "format/gem-gguf.h"
#include "format/gem-sha256.h"
#include "tests/gem-test-folder.h"

typedef struct {
  char *dir;
  char *path;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
  fixture->dir = gem_test_folder_new();
  fixture->path = g_build_filename(fixture->dir, "file", NULL);
  gem_test_write_text(fixture->dir, "file", "0123456789");
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
  g_free(fixture->path);
}

static GemFileReader *
open_good(const char *path)
{
  g_autoptr(GError) error = NULL;
  GemFileReader *reader = gem_file_reader_open(path, &error);
  g_assert_no_error(error);
  return reader;
}

static void
test_read(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemFileReader) reader = open_good(fixture->path);
  g_autoptr(GError) error = NULL;
  char part[4];
  g_assert_cmpuint(gem_file_reader_get_size(reader), ==, 10);
  g_assert_true(gem_file_reader_read(reader, 6, part, 4, &error));
  g_assert_cmpmem(part, 4, "6789", 4);
  g_assert_true(gem_file_reader_read(reader, 10, part, 0, &error));
  g_assert_false(gem_file_reader_read(reader, 7, part, 4, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_nonnull(strstr(error->message, fixture->path));
}

static void
test_absent(Fixture *fixture, gconstpointer data)
{
  g_autofree char *none = g_build_filename(fixture->dir, "none", NULL);
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_file_reader_open(none, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_clear_error(&error);
  g_assert_null(gem_file_reader_open(fixture->dir, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
}

/* Another file under the same name is none of the reader's business; another byte in this one is. */
static void
test_changed(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  {
    g_autoptr(GemFileReader) reader = open_good(fixture->path);
    g_assert_true(gem_file_reader_check_unchanged(reader, &error));
    g_assert_cmpint(truncate(fixture->path, 3), ==, 0);
    g_assert_false(gem_file_reader_check_unchanged(reader, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
    g_clear_error(&error);
    g_assert_null(gem_file_reader_hash(reader, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
    g_clear_error(&error);
  }
  g_usleep(2100000); /* from now on any change shows */
  g_autoptr(GemFileReader) reader = open_good(fixture->path);
  g_assert_true(gem_file_reader_is_settled(reader));
  int fd = open(fixture->path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint(write(fd, "x", 1), ==, 1);
  close(fd);
  g_assert_false(gem_file_reader_check_unchanged(reader, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_autoptr(GemFileReader) again = open_good(fixture->path);
  g_assert_false(gem_file_reader_is_settled(again));
}

/* Whatever becomes of its name. */
static void
test_contents(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemFileReader) reader = open_good(fixture->path);
  g_autofree char *elsewhere = g_strconcat(fixture->path, ".previous", NULL);
  const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
  g_assert_cmpint(g_rename(fixture->path, elsewhere), ==, 0);
  g_assert_true(gem_file_reader_check_contents(reader, &error));
  int fd = open(elsewhere, O_RDWR | O_CLOEXEC);
  g_assert_cmpint(g_unlink(elsewhere), ==, 0);
  g_assert_true(gem_file_reader_check_contents(reader, &error));
  g_assert_cmpint(futimens(fd, times), ==, 0);
  g_assert_false(gem_file_reader_check_contents(reader, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  close(fd);
}

static char *
hash_in_parts(const char *text, gsize part)
{
  g_autoptr(GemSha256) hash = gem_sha256_new();
  for (gsize left = strlen(text); left > 0; left -= MIN(left, part)) {
    gem_sha256_update(hash, text + strlen(text) - left, MIN(left, part));
  }
  return gem_sha256_finish(hash);
}

/* Known answers of the standard, whole and in parts; a file of more than one chunk as GLib hashes it. */
static void
test_hash(Fixture *fixture, gconstpointer data)
{
  static const struct {
    const char *text, *digest;
  } known[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
    g_autofree char *whole = hash_in_parts(known[i].text, G_MAXSIZE);
    g_autofree char *parts = hash_in_parts(known[i].text, 7);
    g_assert_cmpstr(whole, ==, known[i].digest);
    g_assert_cmpstr(parts, ==, known[i].digest);
  }

  g_autofree char *large = g_malloc(700000);
  for (gsize i = 0; i < 700000; i++) {
    large[i] = (char)(i * 7 + i / 251);
  }
  g_assert_true(g_file_set_contents(fixture->path, large, 700000, NULL));
  g_autoptr(GemFileReader) reader = open_good(fixture->path);
  gem_file_reader_read_ahead(reader); /* nothing to see of it but that it harms nothing */
  g_autofree char *digest = gem_file_reader_hash(reader, NULL);
  g_autofree char *expected = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)large, 700000);
  g_assert_cmpstr(digest, ==, expected);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/file-reader/read", Fixture, NULL, set_up, test_read, tear_down);
  g_test_add("/file-reader/absent", Fixture, NULL, set_up, test_absent, tear_down);
  g_test_add("/file-reader/changed", Fixture, NULL, set_up, test_changed, tear_down);
  g_test_add("/file-reader/contents", Fixture, NULL, set_up, test_contents, tear_down);
  g_test_add("/file-reader/hash", Fixture, NULL, set_up, test_hash, tear_down);
  return g_test_run();
}
