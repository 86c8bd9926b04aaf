/* Manager.Stats, on an engine without a model. That it is for administrators: test-bus-authorize.c. */
#include "tests/gem-test-bus.h"

#include <string.h>
#include <unistd.h>

#define NONE gem_test_options("{}")

typedef struct {
  GemTestBus *bus;
  GDBusConnection *client;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
  self->bus = gem_test_bus_new_with_daemon();
  self->client = gem_test_bus_connect(self->bus);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  g_clear_object(&self->client);
  gem_test_bus_free(self->bus);
}

static GVariant *
get_stats(Fixture *self)
{
  g_autoptr(GVariant) answer = gem_test_manager(self->client, "Stats", g_variant_new("(@a{sv})", NONE));

  return g_variant_get_child_value(answer, 0);
}

static guint64
number(GVariant *stats, const char *key)
{
  guint64 value = 0;

  g_assert_true(g_variant_lookup(stats, key, "t", &value));
  return value;
}

/* 0 when there is no such entry. */
static guint64
entry(GVariant *stats, const char *key, const char *name)
{
  g_autoptr(GVariant) table = g_variant_lookup_value(stats, key, G_VARIANT_TYPE("a{st}"));
  guint64 value = 0;

  g_assert_nonnull(table);
  g_variant_lookup(table, name, "t", &value);
  return value;
}

static void
test_counts(Fixture *self, gconstpointer data)
{
  g_autoptr(GVariant) before = get_stats(self);
  g_autoptr(GVariant) answer =
      gem_test_manager(self->client, "Ask",
                       g_variant_new("(s@a{sv})", "hello", gem_test_options("{'max_tokens': <uint32 7>}")));
  g_autoptr(GVariant) first = NULL, after = NULL, latency = NULL;
  double p99 = 0;

  g_assert_cmpuint(number(before, "prompt_tokens"), ==, 0);
  gem_test_manager_fails(self->client, "Ask", g_variant_new("(s@a{sv})", "", NONE), GEM_ERROR_INVALID_TEXT,
                         "*");
  gem_test_manager_fails(self->client, "Ask", g_variant_new("(s@a{sv})", "fail", NONE), GEM_ERROR_FAILED,
                         "*");
  after = get_stats(self);
  g_assert_cmpuint(entry(after, "answered", "Ask"), ==, 3);
  g_assert_cmpuint(entry(after, "answered", "Stats"), ==, 1);
  g_assert_cmpuint(entry(after, "errors", "org.gemd.Gem1.Error.InvalidText"), ==, 1);
  g_assert_cmpuint(entry(after, "errors", "org.gemd.Gem1.Error.Failed"), ==, 1);
  g_assert_cmpuint(entry(after, "turns", "limit"), ==, 1);
  g_assert_cmpuint(entry(after, "turns", "failed"), ==, 1);
  g_assert_cmpuint(number(after, "prompt_tokens"), ==, 5 + 4);
  g_assert_cmpuint(number(after, "generated_tokens"), ==, 7 + 1);
  g_assert_cmpuint(entry(after, "pathway_tokens", "general"), ==, 5 + 7 + 4 + 1);
  latency = g_variant_lookup_value(after, "first_text_seconds", G_VARIANT_TYPE("a{sd}"));
  g_assert_true(g_variant_lookup(latency, "p99", "d", &p99));
  g_assert_cmpfloat(p99, >, 0);
  g_assert_cmpfloat(p99, <, 60);
}

static void
test_now(Fixture *self, gconstpointer data)
{
  g_autofree char *session = gem_test_create_session(self->client);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(self->client);
  g_autoptr(GVariant) during = NULL, after = NULL;
  double rate = 0;
  int fd = gem_test_generate(self->client, session, "silent", "{'max_tokens': <uint32 50>}", NULL);

  during = get_stats(self);
  g_assert_cmpuint(number(during, "sessions"), ==, 1);
  g_assert_cmpuint(number(during, "requests"), ==, 1);
  g_assert_cmpuint(number(during, "streams"), ==, 1);
  g_assert_cmpuint(number(during, "tokens_in_flight"), ==, 6 + 50);
  g_assert_cmpuint(number(during, "kv_cache"), >, 0);
  g_assert_cmpuint(number(during, "calls"), ==, 1); /* this one */
  g_assert_cmpuint(number(during, "running"), ==, 1);
  g_assert_true(g_variant_lookup(during, "tokens_per_second", "d", &rate));
  g_assert_cmpfloat(rate, ==, 70);
  close(fd);
  gem_test_ear_wait(ear, 1);
  after = get_stats(self);
  g_assert_cmpuint(number(after, "requests"), ==, 0);
  g_assert_cmpuint(number(after, "streams"), ==, 0);
  g_assert_cmpuint(number(after, "tokens_in_flight"), ==, 0);
  g_assert_cmpuint(entry(after, "turns", "cancelled"), ==, 1);
}

static void
test_options(Fixture *self, gconstpointer data)
{
  gem_test_manager_fails(self->client, "Stats",
                         g_variant_new("(@a{sv})", gem_test_options("{'user': <uint32 1000>}")),
                         GEM_ERROR_INVALID_OPTION, "*\"user\"*");
}

/* Whose text it was, or what it said, is in no figure. */
static void
test_no_text(Fixture *self, gconstpointer data)
{
  g_autoptr(GVariant) answer = gem_test_manager(
      self->client, "Ask",
      g_variant_new("(s@a{sv})", "canary-7351", gem_test_options("{'max_tokens': <uint32 30>}")));
  g_autoptr(GVariant) stats = NULL;
  g_autofree char *text = NULL;

  gem_test_manager_fails(self->client, "Ask",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'canary-7351': <true>}")),
                         GEM_ERROR_INVALID_OPTION, "*");
  stats = get_stats(self);
  text = g_variant_print(stats, FALSE);
  g_assert_null(strstr(text, "canary"));
  g_assert_null(strstr(text, g_dbus_connection_get_unique_name(self->client)));
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
  } tests[] = {
      {"/bus/statistics/counts", test_counts},
      {"/bus/statistics/now", test_now},
      {"/bus/statistics/options", test_options},
      {"/bus/statistics/no-text", test_no_text},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
