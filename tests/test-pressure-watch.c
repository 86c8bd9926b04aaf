/* The service manager's protocol: what is watched, what is written, when it speaks. */
#include "daemon/pressure/gem-pressure-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"

/* "some 200000 2000000\0" */
static const char payload[] = "c29tZSAyMDAwMDAgMjAwMDAwMAA=";
static const char plain[] = "some 200000 2000000";

typedef struct {
  char *dir, *path;
  guint told;
} World;

static void
on_told(gpointer data)
{
  ((World *)data)->told++;
}

static void
set_up(World *self, gconstpointer data)
{
  self->dir = gem_test_folder_new();
  self->path = g_build_filename(self->dir, "watched", NULL);
}

static void
tear_down(World *self, gconstpointer data)
{
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
  g_free(self->path);
}

static GemPressureWatch *
start(World *self, const char *text)
{
  g_autoptr(GError) error = NULL;
  GemPressureWatch *watch = gem_pressure_watch_new(self->path, text, on_told, self, &error);

  g_assert_no_error(error);
  return watch;
}

/* Everything that is ready, once more than there is. */
static void
run_what_is_ready(void)
{
  while (g_main_context_iteration(NULL, FALSE)) {
  }
}

static void
wait_told(World *self, guint told)
{
  gint64 end = gem_test_deadline(10);

  while (self->told < told && g_get_monotonic_time() < end) {
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
  g_assert_cmpuint(self->told, ==, told);
}

static void
write_all(int fd, const char *text)
{
  g_assert_cmpint((int)write(fd, text, strlen(text)), ==, (int)strlen(text));
}

static void
test_regular_file(World *self, gconstpointer data)
{
  g_autofree char *text = NULL;
  gsize length = 0;

  gem_test_write_text(self->dir, "watched", "");
  {
    g_autoptr(GemPressureWatch) watch = start(self, payload);

    run_what_is_ready();
  }
  g_assert_true(g_file_get_contents(self->path, &text, &length, NULL));
  g_assert_cmpmem(text, length, plain, sizeof plain);
  /* Readable is not pressed: that is POLLPRI, which only the kernel's files have. */
  g_assert_cmpuint(self->told, ==, 0);
}

/* Without a payload the file need not be ours to write. */
static void
test_read_only_file(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;

  gem_test_write_text(self->dir, "watched", "");
  g_assert_cmpint(chmod(self->path, 0400), ==, 0);
  watch = start(self, NULL);
  g_assert_nonnull(watch);
}

/* A pressure file of the kernel, as a process without privileges may have it: a trigger of at least two
 * seconds. Nothing presses it: what is seen is that it is taken, and not taken for pressure. */
static void
test_kernel_file(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_base64_encode((const guchar *)"some 1900000 2000000", 21);

  watch = gem_pressure_watch_new("/proc/pressure/memory", text, on_told, self, &error);
  if (watch == NULL) {
    g_test_skip(error->message);
    return;
  }
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 0);
}

static void
test_fifo(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;
  int fd;

  g_assert_cmpint(mkfifo(self->path, 0600), ==, 0);
  watch = start(self, NULL);
  g_assert_nonnull(watch);
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 0);
  fd = open(self->path, O_WRONLY | O_CLOEXEC);
  write_all(fd, "x");
  wait_told(self, 1);
  write_all(fd, "more than a word");
  wait_told(self, 2);
  /* What came was thrown away, and nobody who writes is nobody who says anything. */
  close(fd);
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 2);
  fd = open(self->path, O_WRONLY | O_CLOEXEC);
  write_all(fd, "again");
  wait_told(self, 3);
  close(fd);
}

/* Nobody took the payload out of the FIFO: it comes back, and says nothing. */
static void
test_fifo_echo(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;
  int fd;

  g_assert_cmpint(mkfifo(self->path, 0600), ==, 0);
  watch = start(self, payload);
  g_assert_nonnull(watch);
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 0);
  fd = open(self->path, O_WRONLY | O_CLOEXEC);
  write_all(fd, "pressed");
  wait_told(self, 1);
  close(fd);
}

static void
test_fifo_payload(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;
  char text[64];
  int fd;

  g_assert_cmpint(mkfifo(self->path, 0600), ==, 0);
  fd = open(self->path, O_RDWR | O_CLOEXEC);
  watch = start(self, payload);
  g_assert_nonnull(watch);
  g_assert_cmpint((int)read(fd, text, sizeof text), ==, (int)sizeof plain);
  g_assert_cmpmem(text, sizeof plain, plain, sizeof plain);
  write_all(fd, "pressed");
  wait_told(self, 1);
  close(fd);
}

static int
listen_at(const char *path)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
  memcpy(address.sun_path, path, strlen(path));
  g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
  g_assert_cmpint(listen(fd, 1), ==, 0);
  return fd;
}

static void
test_socket(World *self, gconstpointer data)
{
  g_autoptr(GemPressureWatch) watch = NULL;
  int listening = listen_at(self->path), peer;
  char text[64];

  watch = start(self, payload);
  g_assert_nonnull(watch);
  peer = accept(listening, NULL, NULL);
  g_assert_cmpint((int)read(peer, text, sizeof text), ==, (int)sizeof plain);
  g_assert_cmpmem(text, sizeof plain, plain, sizeof plain);
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 0);
  write_all(peer, "x");
  wait_told(self, 1);
  /* Who closes says nothing, and is not looked at again and again. */
  close(peer);
  run_what_is_ready();
  g_assert_cmpuint(self->told, ==, 1);
  g_assert_false(g_main_context_pending(NULL));
  close(listening);
}

static void
assert_fails(const char *path, const char *text, const char *pattern)
{
  g_autoptr(GError) error = NULL;
  World world = {0};

  g_assert_null(gem_pressure_watch_new(path, text, on_told, &world, &error));
  g_assert_nonnull(error);
  if (!g_pattern_match_simple(pattern, error->message)) {
    g_test_message("\"%s\" is not like \"%s\"", error->message, pattern);
    g_test_fail();
  }
  g_assert_true(error->domain == G_FILE_ERROR);
}

static void
test_failures(World *self, gconstpointer data)
{
  int fd;

  assert_fails("relative/path", NULL, "relative/path: there is nothing to watch: *");
  assert_fails("/nowhere/at/all", payload, "/nowhere/at/all: there is nothing to watch: *");
  assert_fails(self->dir, NULL, "*: neither a regular file nor a FIFO nor a socket: *");
  assert_fails("/dev/full", NULL, "/dev/full: neither *");
  fd = listen_at(self->path);
  close(fd);
  assert_fails(self->path, payload, "*/watched: the socket cannot be connected: *");
}

static void
test_off(World *self, gconstpointer data)
{
  g_assert_true(gem_pressure_watch_is_off("/dev/null"));
  g_assert_false(gem_pressure_watch_is_off("/dev/null/"));
  g_assert_false(gem_pressure_watch_is_off(self->path));
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(World *self, gconstpointer data);
  } tests[] = {
      {"/pressure-watch/regular-file", test_regular_file},
      {"/pressure-watch/read-only-file", test_read_only_file},
      {"/pressure-watch/kernel-file", test_kernel_file},
      {"/pressure-watch/fifo", test_fifo},
      {"/pressure-watch/fifo-echo", test_fifo_echo},
      {"/pressure-watch/fifo-payload", test_fifo_payload},
      {"/pressure-watch/socket", test_socket},
      {"/pressure-watch/failures", test_failures},
      {"/pressure-watch/off", test_off},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, World, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
