/*
 * What stays in memory, as callers and administrators see it: MemoryLimit, PageInPolicy, holds. On an engine
 * without a model, whose general part takes 900 bytes.
 */
#include <signal.h>
#include <string.h>

#include "tests/gem-test-bus.h"
#include "tests/gem-test-calls.h"
#include "tests/gem-test-patience.h"

#define NONE     gem_test_options("{}")
#define PATIENCE 20

typedef struct {
  GemTestBus *bus;
  GDBusConnection *client;
} World;

static void
set_up(World *self, gconstpointer config)
{
  g_autofree char *state = NULL;

  self->bus = gem_test_bus_new();
  self->bus->config_text = g_strconcat("[gemd]\n", (const char *)config, NULL);
  self->bus->pipe_log = TRUE;
  self->client = gem_test_bus_connect(self->bus);
  gem_test_bus_spawn(self->bus, "/fake/ok");
  state = gem_test_bus_wait_settled(self->bus);
  g_assert_cmpstr(state, ==, "ready");
}

static void
tear_down(World *self, gconstpointer config)
{
  g_clear_object(&self->client);
  gem_test_bus_free(self->bus);
}

/* Ends the daemon. */
static char *
read_log(World *self)
{
  char *text = g_malloc0(65536);
  gsize length = 0;

  g_subprocess_send_signal(self->bus->daemon, SIGTERM);
  g_assert_true(g_input_stream_read_all(g_subprocess_get_stdout_pipe(self->bus->daemon), text, 65535, &length,
                                        NULL, NULL));
  g_assert_cmpint(gem_test_bus_wait_exit(self->bus), ==, 0);
  return text;
}

static guint64
get_limit(World *self)
{
  g_autoptr(GVariant) value =
      gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "MemoryLimit");

  return g_variant_get_uint64(value);
}

static void
reload(World *self, const char *config, guint64 limit)
{
  g_autofree char *path = g_build_filename(self->bus->dir, "gemd.conf", NULL);
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;

  g_assert_true(g_file_set_contents(path, config, -1, NULL));
  g_subprocess_send_signal(self->bus->daemon, SIGHUP);
  while (get_limit(self) != limit) {
    g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    gem_test_run_for(20);
  }
}

/* Tokens of a prompt of four that went without their pathway. */
static guint
degraded(World *self, const char *options)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(self->client, "Ask", g_variant_new("(s@a{sv})", "four", gem_test_options(options)));
  g_autoptr(GVariant) stats = g_variant_get_child_value(reply, 1);
  guint tokens = 0;

  g_assert_true(g_variant_lookup(stats, "degraded_tokens", "u", &tokens));
  return tokens;
}

/* A limit is taken at the start and while the service runs. */
static void
test_limit(World *self, gconstpointer config)
{
  g_autofree char *text = NULL;

  g_assert_cmpuint(get_limit(self), ==, 2 << 20);
  reload(self, "[gemd]\nMemoryLimit=3K\n", 3072);
  reload(self, "[gemd]\n", 0);
  text = read_log(self);
  g_assert_null(strstr(text, "MemoryLimit is"));
}

/* One that cannot be kept: said at the start and when it is set again; the service answers. */
static void
test_limit_below_general(World *self, gconstpointer config)
{
  g_autofree char *text = NULL;
  const char *said;

  g_assert_cmpuint(degraded(self, "{}"), ==, 0);
  reload(self, "[gemd]\nMemoryLimit=899\n", 899);
  text = read_log(self);
  said = strstr(text, "MemoryLimit is 800 bytes, but the general part of the model alone takes 900");
  g_assert_nonnull(said);
  g_assert_nonnull(strstr(said, "MemoryLimit is 899 bytes"));
}

/* The administrator's word stands for calls that do not say. */
static void
test_page_in(World *self, gconstpointer config)
{
  g_assert_cmpuint(degraded(self, "{}"), ==, 0);
  g_assert_cmpuint(degraded(self, "{'page_in': <'degrade'>}"), ==, 4);
  reload(self, "[gemd]\nMemoryLimit=3K\nPageInPolicy=degrade\n", 3072);
  g_assert_cmpuint(degraded(self, "{}"), ==, 4);
  g_assert_cmpuint(degraded(self, "{'page_in': <'wait'>}"), ==, 0);
  gem_test_manager_fails(self->client, "Embed",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'page_in': <'degrade'>}")),
                         GEM_ERROR_INVALID_OPTION, "*unknown option \"page_in\"*");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/bus/residency/limit", World, "MemoryLimit=2M\n", set_up, test_limit, tear_down);
  g_test_add("/bus/residency/limit-below-general", World, "MemoryLimit=800\n", set_up,
             test_limit_below_general, tear_down);
  g_test_add("/bus/residency/page-in", World, "", set_up, test_page_in, tear_down);
  return g_test_run();
}
