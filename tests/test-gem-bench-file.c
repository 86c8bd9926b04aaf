/* Where results are written: into files, through links, and to what is no file. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gem-bench-file.h"
#include "tests/gem-test-folder.h"

typedef struct {
  char *folder, *path;
} Scene;

static void
setup(Scene *self, gconstpointer data)
{
  self->folder = gem_test_folder_new();
  self->path = g_build_filename(self->folder, "out", NULL);
}

static void
teardown(Scene *self, gconstpointer data)
{
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self->path);
}

static void
expect_text(const char *path, const char *expected)
{
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(text, ==, expected);
}

static void
write_text(const char *path, const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_true(gem_bench_file_write(path, text, &error));
  g_assert_no_error(error);
}

static void
test_replaced(Scene *self, gconstpointer data)
{
  write_text(self->path, "a longer text");
  write_text(self->path, "short");
  expect_text(self->path, "short");
}

/* The link stays one, and what it names has the text. */
static void
test_link(Scene *self, gconstpointer data)
{
  g_autofree char *link = g_build_filename(self->folder, "link", NULL);

  write_text(self->path, "old");
  g_assert_cmpint(symlink("out", link), ==, 0);
  write_text(link, "new");
  expect_text(self->path, "new");
  g_assert_true(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
}

static void
test_pipe(Scene *self, gconstpointer data)
{
  char text[16] = "";
  struct stat status;
  int reader;

  g_assert_cmpint(mkfifo(self->path, 0600), ==, 0);
  reader = open(self->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint(reader, >=, 0);
  write_text(self->path, "piped");
  g_assert_cmpint(read(reader, text, sizeof text - 1), ==, 5);
  g_assert_cmpstr(text, ==, "piped");
  close(reader);
  g_assert_cmpint(lstat(self->path, &status), ==, 0);
  g_assert_true(S_ISFIFO(status.st_mode));
}

/* A full device is an error that names it, and stays a device. */
static void
test_full(Scene *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  struct stat status;

  if (access("/dev/full", W_OK) != 0) {
    g_test_skip("there is no /dev/full");
    return;
  }
  g_assert_false(gem_bench_file_write("/dev/full", "text", &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull(strstr(error->message, "/dev/full"));
  g_assert_cmpint(stat("/dev/full", &status), ==, 0);
  g_assert_true(S_ISCHR(status.st_mode));
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run)(Scene *, gconstpointer);
  } tests[] = {
      {"/gem-bench/file/replaced", test_replaced},
      {"/gem-bench/file/link", test_link},
      {"/gem-bench/file/pipe", test_pipe},
      {"/gem-bench/file/full", test_full},
  };

  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].name, Scene, NULL, setup, tests[i].run, teardown);
  }
  return g_test_run();
}
