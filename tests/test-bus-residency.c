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
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;

  gem_test_bus_reload(self->bus, config);
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
  reload(self, "MemoryLimit=3K\n", 3072);
  reload(self, "", 0);
  text = gem_test_bus_end_log(self->bus);
  g_assert_null(strstr(text, "MemoryLimit is"));
}

/* One that cannot be kept: said at the start and when it is set again; the service answers. */
static void
test_limit_below_general(World *self, gconstpointer config)
{
  g_autofree char *text = NULL;
  const char *said;

  g_assert_cmpuint(degraded(self, "{}"), ==, 0);
  reload(self, "MemoryLimit=899\n", 899);
  text = gem_test_bus_end_log(self->bus);
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
  reload(self, "MemoryLimit=3K\nPageInPolicy=degrade\n", 3072);
  g_assert_cmpuint(degraded(self, "{}"), ==, 4);
  g_assert_cmpuint(degraded(self, "{'page_in': <'wait'>}"), ==, 0);
  gem_test_manager_fails(self->client, "Embed",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'page_in': <'degrade'>}")),
                         GEM_ERROR_INVALID_OPTION, "*unknown option \"page_in\"*");
}

/* ---- holds ---- */

#define LEGAL GEM_PATHWAY_PATH "/legal"

/* 0: refused; then `code` and `pattern` say how. */
static guint
hold(GDBusConnection *client, const char *domain, GemError code, const char *pattern)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(client, path, GEM_PATHWAY_INTERFACE, "Hold", g_variant_new("(@a{sv})", NONE), &error);
  guint cookie = 0;

  if (reply == NULL) {
    gem_test_error_is(error, code, pattern);
  } else {
    g_assert_null(pattern);
    g_variant_get(reply, "(u)", &cookie);
    g_assert_cmpuint(cookie, !=, 0);
  }
  return cookie;
}

static gboolean
release(GDBusConnection *client, const char *path, guint cookie)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      gem_test_call(client, path, GEM_PATHWAY_INTERFACE, "Release", g_variant_new("(u)", cookie), &error);

  if (reply == NULL) {
    gem_test_error_is(error, GEM_ERROR_INVALID_OPTION, "cookie: the caller has no hold *");
  }
  return reply != NULL;
}

/* How many holds there are on legal, as the engine without a model shows it. */
static guint
count_holds(World *self)
{
  g_autoptr(GVariant) bytes = gem_test_get(self->client, LEGAL, GEM_PATHWAY_INTERFACE, "ResidentBytes");

  return (guint)(g_variant_get_uint64(bytes) - 5000);
}

static void
wait_holds(World *self, guint wanted)
{
  gint64 deadline = g_get_monotonic_time() + (gint64)gem_test_patience(PATIENCE) * G_USEC_PER_SEC;

  while (count_holds(self) != wanted) {
    g_assert_cmpint(g_get_monotonic_time(), <, deadline);
    gem_test_run_for(20);
  }
}

/* Each is counted until it is given back, by its own caller and at its own object. */
static void
test_hold(World *self, gconstpointer config)
{
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(self->bus);
  guint first = hold(self->client, "legal", 0, NULL);
  guint second = hold(other, "legal", 0, NULL);

  g_assert_cmpuint(first, !=, second);
  g_assert_cmpuint(count_holds(self), ==, 2);
  g_assert_false(release(self->client, LEGAL, second));
  g_assert_false(release(self->client, GEM_PATHWAY_PATH "/stem", first));
  g_assert_false(release(self->client, LEGAL, 12345));
  g_assert_cmpuint(count_holds(self), ==, 2);
  g_assert_true(release(self->client, LEGAL, first));
  g_assert_false(release(self->client, LEGAL, first));
  g_assert_cmpuint(count_holds(self), ==, 1);
  /* Who leaves takes its holds along. */
  g_assert_true(g_dbus_connection_close_sync(other, NULL, NULL));
  wait_holds(self, 0);
}

static void
test_hold_quota(World *self, gconstpointer config)
{
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(self->bus);
  guint first;

  /* One that failed is not counted. */
  g_assert_cmpuint(hold(other, "broken", GEM_ERROR_PATHWAY, "*pathway-broken.gguf*"), ==, 0);
  first = hold(self->client, "legal", 0, NULL);
  hold(other, "stem", 0, NULL);
  g_assert_cmpuint(
      hold(other, "legal", GEM_ERROR_LIMIT_EXCEEDED, "MaxHoldsPerUser: 2 are in use, 2 are allowed"), ==, 0);
  g_assert_cmpuint(count_holds(self), ==, 1);
  g_assert_true(release(self->client, LEGAL, first));
  hold(other, "legal", 0, NULL);
  g_assert_true(g_dbus_connection_close_sync(other, NULL, NULL));
  wait_holds(self, 0);
  hold(self->client, "legal", 0, NULL);
  hold(self->client, "legal", 0, NULL);
  /* The service ends with holds that nobody gave back. */
}

static void
set_pinned(World *self, const char *domain, GVariant *value, GError **error)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GVariant) reply =
      gem_test_call(self->client, path, "org.freedesktop.DBus.Properties", "Set",
                    g_variant_new("(ssv)", GEM_PATHWAY_INTERFACE, "Pinned", value), error);

  g_assert_true((reply == NULL) == (*error != NULL));
}

static gboolean
is_pinned(World *self, const char *domain)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GVariant) pinned = gem_test_get(self->client, path, GEM_PATHWAY_INTERFACE, "Pinned");

  return g_variant_get_boolean(pinned);
}

static void
page_out(World *self)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(self->client, LEGAL, GEM_PATHWAY_INTERFACE, "PageOut",
                                            g_variant_new("(@a{sv})", NONE), &error);

  g_assert_no_error(error);
}

/* The test is the service's own user, whom polkit is not asked about. */
static void
test_pinned(World *self, gconstpointer config)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) state = NULL, again = NULL;

  page_out(self);
  g_assert_false(is_pinned(self, "legal"));
  set_pinned(self, "legal", g_variant_new_boolean(TRUE), &error);
  g_assert_no_error(error);
  g_assert_true(is_pinned(self, "legal"));
  state = gem_test_get(self->client, LEGAL, GEM_PATHWAY_INTERFACE, "State");
  g_assert_cmpstr(g_variant_get_string(state, NULL), ==, "resident");
  /* It is read before the answer also when it is pinned already, and somebody has paged it out. */
  page_out(self);
  set_pinned(self, "legal", g_variant_new_boolean(TRUE), &error);
  g_assert_no_error(error);
  again = gem_test_get(self->client, LEGAL, GEM_PATHWAY_INTERFACE, "State");
  g_assert_cmpstr(g_variant_get_string(again, NULL), ==, "resident");
  set_pinned(self, "legal", g_variant_new_boolean(FALSE), &error);
  g_assert_no_error(error);
  g_assert_false(is_pinned(self, "legal"));
  set_pinned(self, "broken", g_variant_new_boolean(TRUE), &error);
  gem_test_error_is(error, GEM_ERROR_PATHWAY, "*pathway-broken.gguf*");
  g_assert_false(is_pinned(self, "broken"));
  g_clear_error(&error);
  set_pinned(self, "legal", g_variant_new_string("yes"), &error);
  g_assert_nonnull(error);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/bus/residency/limit", World, "MemoryLimit=2M\n", set_up, test_limit, tear_down);
  g_test_add("/bus/residency/limit-below-general", World, "MemoryLimit=800\n", set_up,
             test_limit_below_general, tear_down);
  g_test_add("/bus/residency/page-in", World, "", set_up, test_page_in, tear_down);
  g_test_add("/bus/residency/hold", World, "", set_up, test_hold, tear_down);
  g_test_add("/bus/residency/hold-quota", World, "MaxHoldsPerUser=2\n", set_up, test_hold_quota, tear_down);
  g_test_add("/bus/residency/pinned", World, "", set_up, test_pinned, tear_down);
  return g_test_run();
}
