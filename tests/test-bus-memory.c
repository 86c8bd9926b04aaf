/*
 * Memory that the daemon gives back when it is told that it is short, and before the machine sleeps: with a
 * service manager and a logind that the test plays, on an engine without a model.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/gem-test-bus.h"
#include "tests/gem-test-logind.h"
#include "tests/gem-test-patience.h"

#define PATIENCE 20

/* ---- the service manager ---- */

typedef struct {
  GemTestBus *bus;
  GDBusConnection *connection;
  char *fifo;
  GString *log; /* what the daemon has written so far */
} World;

static void
set_up(World *self, gconstpointer data)
{
  self->bus = gem_test_bus_new();
  self->bus->pipe_log = TRUE;
  self->connection = gem_test_bus_connect(self->bus);
  self->fifo = g_build_filename(self->bus->dir, "pressure", NULL);
  self->log = g_string_new(NULL);
  g_assert_cmpint(mkfifo(self->fifo, 0600), ==, 0);
  self->bus->daemon_environment = g_new0(char *, 4);
  self->bus->daemon_environment[0] = g_strconcat("MEMORY_PRESSURE_WATCH=", self->fifo, NULL);
  self->bus->daemon_environment[1] = g_strdup("G_MESSAGES_DEBUG=gemd");
  /* The pressure of this machine is none of the test's. */
  self->bus->daemon_environment[2] = g_strconcat("GEMD_PRESSURE_ROOT=", self->bus->dir, NULL);
}

static void
tear_down(World *self, gconstpointer data)
{
  gem_test_bus_free(self->bus);
  g_clear_object(&self->connection);
  g_string_free(self->log, TRUE);
  g_free(self->fifo);
}

static void
start(World *self)
{
  g_autofree char *state = NULL;

  gem_test_bus_spawn(self->bus, "/fake/ok");
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, "ready");
}

/* What the daemon wrote since, without waiting for more. */
static void
read_log(World *self)
{
  GInputStream *stream = g_subprocess_get_stdout_pipe(self->bus->daemon);
  char text[4096];
  gssize length;

  while ((length = g_pollable_input_stream_read_nonblocking(G_POLLABLE_INPUT_STREAM(stream), text,
                                                            sizeof text, NULL, NULL)) > 0) {
    g_string_append_len(self->log, text, length);
  }
}

/* Runs the main loop until the daemon has written a line like `pattern`. */
static void
wait_log(World *self, const char *pattern)
{
  g_autofree char *anywhere = g_strdup_printf("*%s*", pattern);
  gint64 end = gem_test_deadline(PATIENCE);

  while (!g_pattern_match_simple(anywhere, self->log->str)) {
    if (g_get_monotonic_time() > end) {
      g_error("no \"%s\" in \"%s\"", pattern, self->log->str);
    }
    g_main_context_iteration(NULL, FALSE);
    g_usleep(2000);
    read_log(self);
  }
}

static guint
memory_step(World *self)
{
  g_autoptr(GVariant) step =
      gem_test_get(self->connection, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "MemoryStep");

  return g_variant_get_uint32(step);
}

static void
say_pressure(World *self)
{
  int fd = open(self->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint((int)write(fd, "x", 1), ==, 1);
  close(fd);
}

/* Each word asks for a step more, and what was given back stands in the log. */
static void
test_told(World *self, gconstpointer data)
{
  start(self);
  g_assert_cmpuint(memory_step(self), ==, 0);
  say_pressure(self);
  wait_log(self, "memory is short (the service manager says so): step 2 of 4, no cold pathways; 200 bytes "
                 "given back in ");
  g_assert_cmpuint(memory_step(self), ==, 2);
  say_pressure(self);
  wait_log(self, "step 3 of 4, no caches of idle sessions; 300 bytes given back in ");
  say_pressure(self);
  wait_log(self, "step 4 of 4, nothing but the general part; 400 bytes given back in ");
  g_assert_cmpuint(memory_step(self), ==, 4);
  wait_log(self, "memory is no longer short, after * s; * bytes were given back, asked * times");
  g_assert_cmpuint(memory_step(self), ==, 0);
}

/* Nobody listens: neither when the administrator nor when the service manager wants it so. */
static void
test_off(World *self, gconstpointer data)
{
  self->bus->config_text = g_strdup("[gemd]\nMemoryPressure=off\n");
  start(self);
  g_assert_cmpint(open(self->fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC), ==, -1);
  g_assert_cmpint(errno, ==, ENXIO);
  g_assert_cmpuint(memory_step(self), ==, 0);
}

static void
test_off_by_manager(World *self, gconstpointer data)
{
  g_free(self->bus->daemon_environment[0]);
  self->bus->daemon_environment[0] = g_strdup("MEMORY_PRESSURE_WATCH=/dev/null");
  start(self);
  wait_log(self, "memory pressure: the service manager says that nothing is to be done");
}

/* ---- logind ---- */

/* The lock is held until the caches are gone, and taken again for the next time. */
static void
test_sleep(World *self, gconstpointer data)
{
  GemTestLogind logind = {0};

  gem_test_logind_start(&logind, self->bus);
  start(self);
  gem_test_logind_wait_asked(&logind, 1);
  for (guint night = 1; night <= 2; night++) {
    g_string_truncate(self->log, 0);
    g_assert_true(gem_test_logind_has_lock(&logind));
    gem_test_logind_say(&logind, TRUE);
    gem_test_logind_wait_released(&logind);
    wait_log(self, "the machine goes to sleep: 300 bytes given back in ");
    g_assert_cmpuint(logind.asked, ==, night);
    gem_test_logind_say(&logind, FALSE);
    gem_test_logind_wait_asked(&logind, night + 1);
  }
  g_assert_null(strstr(self->log->str, "memory is"));
  gem_test_logind_stop(&logind);
}

/* It comes after the daemon, goes, and comes again. */
static void
test_logind_comes_and_goes(World *self, gconstpointer data)
{
  GemTestLogind logind = {0};

  start(self);
  wait_log(self, "there is no logind: nothing is known of the machine's sleep");
  gem_test_logind_start(&logind, self->bus);
  gem_test_logind_wait_asked(&logind, 1);
  gem_test_logind_stop(&logind);
  gem_test_logind_start(&logind, self->bus);
  gem_test_logind_wait_asked(&logind, 2);
  g_assert_true(gem_test_logind_has_lock(&logind));
  gem_test_logind_say(&logind, TRUE);
  gem_test_logind_wait_released(&logind);
  gem_test_logind_stop(&logind);
}

/* Without a lock there may be too little time; it is tried. */
static void
test_logind_refuses(World *self, gconstpointer data)
{
  GemTestLogind logind = {.refuses = TRUE};

  gem_test_logind_start(&logind, self->bus);
  start(self);
  gem_test_logind_wait_asked(&logind, 1);
  wait_log(self, "sleep is not delayed: *Permission denied");
  gem_test_logind_say(&logind, TRUE);
  wait_log(self, "the machine goes to sleep: 300 bytes given back in ");
  gem_test_logind_stop(&logind);
}

/* Who only says that he is logind. */
static void
test_somebody_else(World *self, gconstpointer data)
{
  GemTestLogind logind = {0}, other = {0};

  gem_test_logind_start(&logind, self->bus);
  start(self);
  gem_test_logind_wait_asked(&logind, 1);
  other.connection = gem_test_bus_connect(self->bus);
  g_assert_true(g_dbus_connection_emit_signal(other.connection, GEM_BUS_NAME, "/org/freedesktop/login1",
                                              GEM_TEST_LOGIND ".Manager", "PrepareForSleep",
                                              g_variant_new("(b)", TRUE), NULL));
  g_assert_true(g_dbus_connection_flush_sync(other.connection, NULL, NULL));
  /* Calls are answered after what was sent before them. */
  g_clear_object(&self->connection);
  self->connection = g_steal_pointer(&other.connection);
  for (guint i = 0; i < 5; i++) {
    g_assert_cmpuint(memory_step(self), ==, 0);
  }
  g_assert_true(gem_test_logind_has_lock(&logind));
  gem_test_logind_say(&logind, TRUE);
  gem_test_logind_wait_released(&logind);
  gem_test_logind_stop(&logind);
}

/* Until the engine has written all of the answer, of which the reader has taken nothing. */
static void
wait_written(World *self)
{
  guint64 requests = 1;

  while (requests > 0) {
    g_autoptr(GVariant) answer =
        gem_test_manager(self->connection, "Stats", g_variant_new("(@a{sv})", gem_test_options("{}")));
    g_autoptr(GVariant) stats = g_variant_get_child_value(answer, 0);

    g_assert_true(g_variant_lookup(stats, "requests", "t", &requests));
  }
}

/* While a reader has its second to take what is left, memory is looked at as before: the engine has stopped.
 */
static void
test_stopping(World *self, gconstpointer data)
{
  g_autofree char *session = NULL;
  int fd;

  start(self);
  session = gem_test_create_session(self->connection);
  fd = gem_test_generate(self->connection, session, "flood", "{'max_tokens': <uint32 28>}", NULL);
  wait_written(self);
  say_pressure(self);
  wait_log(self, "step 2 of 4"); /* from now on four times a second */
  g_subprocess_send_signal(self->bus->daemon, SIGTERM);
  g_assert_cmpint(gem_test_bus_wait_exit(self->bus), ==, 0);
  close(fd);
}

static void
add(const char *path, void (*test)(World *self, gconstpointer data))
{
  g_test_add(path, World, NULL, set_up, test, tear_down);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  add("/bus/memory/told", test_told);
  add("/bus/memory/off", test_off);
  add("/bus/memory/off-by-manager", test_off_by_manager);
  add("/bus/memory/sleep", test_sleep);
  add("/bus/memory/logind-comes-and-goes", test_logind_comes_and_goes);
  add("/bus/memory/logind-refuses", test_logind_refuses);
  add("/bus/memory/somebody-else", test_somebody_else);
  add("/bus/memory/stopping", test_stopping);
  return g_test_run();
}
