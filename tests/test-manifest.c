/* The manifest's grammar, field by field, and what verifying says of absent, cut and changed files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "format/gem-manifest.h"
#include "tests/gem-test-model.h"

/* SHA-256 of "abc", from the standard. */
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

typedef struct {
  char *dir;
} Fixture;

static void
set_file(const char *dir, const char *name, const char *contents, gssize length)
{
  g_autofree char *path = g_build_filename(dir, name, NULL);
  g_autoptr(GError) error = NULL;
  g_file_set_contents(path, contents, length, &error);
  g_assert_no_error(error);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
  fixture->dir = gem_test_folder_new();
  set_file(fixture->dir, "a.gguf", "abc", 3);
  g_autofree char *large = g_strnfill(1000000, 'x');
  set_file(fixture->dir, "b.gguf", large, 1000000);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
}

static void
write_manifest(Fixture *fixture)
{
  g_autoptr(GError) error = NULL;
  gem_manifest_write(fixture->dir, "two", (const char *const[]){"a.gguf", "b.gguf", NULL}, &error);
  g_assert_no_error(error);
}

static void
test_round_trip(Fixture *fixture, gconstpointer data)
{
  write_manifest(fixture);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(fixture->dir, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(gem_manifest_get_name(manifest), ==, "two");
  g_autofree char *path = g_build_filename(fixture->dir, "manifest", NULL);
  g_autofree char *text = NULL;
  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
  g_assert_cmpstr(gem_manifest_get_digest(manifest), ==, digest);
  g_assert_cmpuint(g_strv_length((GStrv)gem_manifest_get_files(manifest)), ==, 2);
  g_assert_cmpstr(gem_manifest_get_files(manifest)[1], ==, "b.gguf");
  g_assert_true(gem_manifest_has_file(manifest, "a.gguf"));
  g_assert_false(gem_manifest_has_file(manifest, "c.gguf"));

  g_assert_true(gem_manifest_verify(manifest, "a.gguf", &error));
  g_assert_true(gem_manifest_verify(manifest, "b.gguf", &error));
  g_autoptr(GBytes) bytes = gem_manifest_read(manifest, "a.gguf", &error);
  g_assert_no_error(error);
  g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "abc", 3);

  g_assert_nonnull(strstr(text, "sha256=" ABC_SHA256));
}

/* Verifying and reading both refuse `file`, with `code` and a message that holds `what`. */
static void
assert_refused(Fixture *fixture, const char *file, GemFormatError code, const char *what)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(fixture->dir, &error);
  g_assert_no_error(error);
  g_assert_false(gem_manifest_verify(manifest, file, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, file));
  g_assert_nonnull(strstr(error->message, what));
  g_clear_error(&error);
  g_assert_null(gem_manifest_read(manifest, file, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, file));
}

static void
test_verify(Fixture *fixture, gconstpointer data)
{
  write_manifest(fixture);
  assert_refused(fixture, "c.gguf", GEM_FORMAT_ERROR_MISSING, "not listed");
  set_file(fixture->dir, "a.gguf", "abd", 3);
  assert_refused(fixture, "a.gguf", GEM_FORMAT_ERROR_MISMATCH, "SHA-256");
  set_file(fixture->dir, "a.gguf", "ab", 2);
  assert_refused(fixture, "a.gguf", GEM_FORMAT_ERROR_MISMATCH, "2 bytes, but 3");
  set_file(fixture->dir, "a.gguf", "abcd", 4);
  assert_refused(fixture, "a.gguf", GEM_FORMAT_ERROR_MISMATCH, "3");
  g_autofree char *path = g_build_filename(fixture->dir, "a.gguf", NULL);
  g_unlink(path);
  assert_refused(fixture, "a.gguf", GEM_FORMAT_ERROR_MISSING, "No such file");
  g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
  assert_refused(fixture, "a.gguf", GEM_FORMAT_ERROR_IO, "directory");
}

/* Longer than the coarsest clock of a file system: from then on a change shows in the file's identity. */
static void
let_settle(void)
{
  g_usleep(G_USEC_PER_SEC * 21 / 10);
}

static void
read_right(GemManifest *manifest, const char *file)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = gem_manifest_read(manifest, file, &error);
  g_assert_no_error(error);
  g_autofree char *digest = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, bytes);
  g_assert_cmpstr(digest, ==, gem_manifest_get_sha256(manifest, file));
}

/* Another byte under the same size and the same time of modification. */
static void
alter_unseen(Fixture *fixture)
{
  g_autofree char *path = g_build_filename(fixture->dir, "a.gguf", NULL);
  struct stat status;
  g_assert_cmpint(stat(path, &status), ==, 0);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint(write(fd, "abd", 3), ==, 3);
  const struct timespec times[2] = {status.st_atim, status.st_mtim};
  g_assert_cmpint(futimens(fd, times), ==, 0);
  close(fd);
}

/* A file is hashed once as long as it stays what it is; changed, it is hashed again, and refused. */
static void
test_hashed_once(Fixture *fixture, gconstpointer data)
{
  write_manifest(fixture);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(fixture->dir, &error);
  g_assert_no_error(error);
  read_right(manifest, "a.gguf"); /* too new to be trusted */
  let_settle();
  for (guint i = 0; i < 3; i++) {
    read_right(manifest, "a.gguf");
  }
  g_assert_cmpuint(gem_manifest_get_hashed(manifest), ==, 2);
  read_right(manifest, "b.gguf");
  read_right(manifest, "b.gguf");
  g_assert_cmpuint(gem_manifest_get_hashed(manifest), ==, 3);

  alter_unseen(fixture);
  for (guint i = 0; i < 2; i++) {
    g_assert_null(gem_manifest_read(manifest, "a.gguf", &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
    g_clear_error(&error);
  }
  g_assert_cmpuint(gem_manifest_get_hashed(manifest), ==, 5);
  set_file(fixture->dir, "a.gguf", "abc", 3);
  read_right(manifest, "a.gguf");
  g_assert_cmpuint(gem_manifest_get_hashed(manifest), ==, 6);
}

/* What is held open is hashed as seldom, and refused as surely; what is too new is read whole. */
static void
test_opened(Fixture *fixture, gconstpointer data)
{
  write_manifest(fixture);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemManifest) manifest = gem_manifest_load(fixture->dir, &error);
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GemFileReader) none = NULL;
  g_assert_true(gem_manifest_open(manifest, "a.gguf", &none, &bytes, &error));
  g_assert_no_error(error);
  g_assert_true((none == NULL) == (bytes != NULL));

  let_settle();
  for (guint i = 0; i < 2; i++) {
    g_autoptr(GemFileReader) reader = NULL;
    g_autoptr(GBytes) no_bytes = NULL;
    char part[2];
    g_assert_true(gem_manifest_open(manifest, "a.gguf", &reader, &no_bytes, &error));
    g_assert_null(no_bytes);
    g_assert_true(gem_file_reader_read(reader, 1, part, 2, &error));
    g_assert_cmpmem(part, 2, "bc", 2);
  }
  g_assert_cmpuint(gem_manifest_get_hashed(manifest), <=, 2);

  alter_unseen(fixture);
  let_settle();
  g_autoptr(GemFileReader) altered = NULL;
  g_assert_false(gem_manifest_open(manifest, "a.gguf", &altered, &bytes, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_nonnull(strstr(error->message, "SHA-256"));
  g_clear_error(&error);
  set_file(fixture->dir, "a.gguf", "abcd", 4);
  let_settle();
  g_assert_false(gem_manifest_open(manifest, "a.gguf", &altered, &bytes, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_nonnull(strstr(error->message, "4 bytes, but 3"));
  g_clear_error(&error);
  g_assert_false(gem_manifest_open(manifest, "c.gguf", &altered, &bytes, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_null(altered);
}

#define MODEL(files) "[model]\nformat=1\nname=n\nfiles=" files "\n"
#define ENTRY(file)  "[" file "]\nsize=3\nsha256=" ABC_SHA256 "\n"

static void
test_grammar(Fixture *fixture, gconstpointer data)
{
  const struct {
    const char *text;
    GemFormatError code;
    const char *what;
  } cases[] = {
      {"", GEM_FORMAT_ERROR_MALFORMED, "empty"},
      {"no key file", GEM_FORMAT_ERROR_MALFORMED, "manifest"},
      {"\xff\xfe\n", GEM_FORMAT_ERROR_MALFORMED, "manifest"},
      {ENTRY("a.gguf"), GEM_FORMAT_ERROR_MALFORMED, "[model] format"},
      {"[model]\nformat=one\n", GEM_FORMAT_ERROR_MALFORMED, "[model] format"},
      {"[model]\nformat=2\nname=n\nfiles=a.gguf\n", GEM_FORMAT_ERROR_UNSUPPORTED, "[model] format: 2"},
      {"[model]\nformat=1\nfiles=a.gguf\n", GEM_FORMAT_ERROR_MALFORMED, "[model] name"},
      {"[model]\nformat=1\nname=../n\nfiles=a.gguf\n", GEM_FORMAT_ERROR_MALFORMED, "[model] name"},
      {"[model]\nformat=1\nname=n\n", GEM_FORMAT_ERROR_MALFORMED, "[model] files"},
      {MODEL(""), GEM_FORMAT_ERROR_MALFORMED, "[model] files"},
      {MODEL("../a.gguf;"), GEM_FORMAT_ERROR_MALFORMED, "not plain"},
      {MODEL("x/a.gguf;"), GEM_FORMAT_ERROR_MALFORMED, "not plain"},
      {MODEL(".a;"), GEM_FORMAT_ERROR_MALFORMED, "not plain"},
      {MODEL("model;"), GEM_FORMAT_ERROR_MALFORMED, "not plain"},
      {MODEL("manifest;"), GEM_FORMAT_ERROR_MALFORMED, "not plain"},
      {MODEL("a.gguf;a.gguf;") ENTRY("a.gguf"), GEM_FORMAT_ERROR_MALFORMED, "a.gguf is named twice"},
      {MODEL("a.gguf;"), GEM_FORMAT_ERROR_MALFORMED, "[a.gguf] size"},
      {MODEL("a.gguf;") "[a.gguf]\nsize=-3\nsha256=" ABC_SHA256 "\n", GEM_FORMAT_ERROR_MALFORMED,
       "[a.gguf] size"},
      {MODEL("a.gguf;") "[a.gguf]\nsize=99999999999999999999\nsha256=" ABC_SHA256 "\n",
       GEM_FORMAT_ERROR_MALFORMED, "[a.gguf] size"},
      {MODEL("a.gguf;") "[a.gguf]\nsize=3\n", GEM_FORMAT_ERROR_MALFORMED, "[a.gguf] sha256"},
      {MODEL("a.gguf;") "[a.gguf]\nsize=3\nsha256=abc\n", GEM_FORMAT_ERROR_MALFORMED, "[a.gguf] sha256"},
      {MODEL("a.gguf;") "[a.gguf]\nsize=3\nsha256=X" ABC_SHA256 "\n", GEM_FORMAT_ERROR_MALFORMED,
       "[a.gguf] sha256"},
      {MODEL("a.gguf;") ENTRY("a.gguf") ENTRY("b.gguf"), GEM_FORMAT_ERROR_MALFORMED, "group 2"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    set_file(fixture->dir, "manifest", cases[i].text, -1);
    g_autoptr(GError) error = NULL;
    g_autoptr(GemManifest) manifest = gem_manifest_load(fixture->dir, &error);
    g_assert_null(manifest);
    g_assert_error(error, GEM_FORMAT_ERROR, (gint)cases[i].code);
    if (strstr(error->message, cases[i].what) == NULL || strstr(error->message, fixture->dir) == NULL) {
      g_error("case %" G_GSIZE_FORMAT ": '%s' does not say '%s'", i, error->message, cases[i].what);
    }
  }
  set_file(fixture->dir, "manifest", MODEL("a.gguf;") ENTRY("a.gguf"), -1);
  g_autoptr(GemManifest) good = gem_manifest_load(fixture->dir, NULL);
  g_assert_nonnull(good);
  g_assert_true(gem_manifest_verify(good, "a.gguf", NULL));
}

static void
test_absent(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_manifest_load(fixture->dir, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_clear_error(&error);

  g_autofree char *endless = g_strnfill(2 * 1024 * 1024, '#');
  set_file(fixture->dir, "manifest", endless, -1);
  g_assert_null(gem_manifest_load(fixture->dir, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
  g_assert_nonnull(strstr(error->message, "2097152 bytes"));
}

static void
test_write_refuses(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  const char *const twice[] = {"a.gguf", "a.gguf", NULL};
  const char *const absent[] = {"a.gguf", "c.gguf", NULL};
  const char *const outside[] = {"../a.gguf", NULL};
  g_assert_false(gem_manifest_write(fixture->dir, "n", twice, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
  g_clear_error(&error);
  g_assert_false(gem_manifest_write(fixture->dir, "n", outside, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
  g_clear_error(&error);
  g_assert_false(gem_manifest_write(fixture->dir, "", twice, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
  g_clear_error(&error);
  g_assert_false(gem_manifest_write(fixture->dir, "n", absent, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_nonnull(strstr(error->message, "c.gguf"));
  g_autofree char *path = g_build_filename(fixture->dir, "manifest", NULL);
  g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/manifest/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add("/manifest/verify", Fixture, NULL, set_up, test_verify, tear_down);
  g_test_add("/manifest/hashed-once", Fixture, NULL, set_up, test_hashed_once, tear_down);
  g_test_add("/manifest/opened", Fixture, NULL, set_up, test_opened, tear_down);
  g_test_add("/manifest/grammar", Fixture, NULL, set_up, test_grammar, tear_down);
  g_test_add("/manifest/absent", Fixture, NULL, set_up, test_absent, tear_down);
  g_test_add("/manifest/write-refuses", Fixture, NULL, set_up, test_write_refuses, tear_down);
  return g_test_run();
}
