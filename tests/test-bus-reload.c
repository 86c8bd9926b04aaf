/*
 * The configuration is read again and names another model: it is loaded as LoadModel does, and takes over. On
 * an engine without a model; each test has a bus and a daemon of its own.
 */
#include "tests/gem-test-loads.h"
#include "tests/gem-test-patience.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20

/* ---- what can be seen of it ---- */

static guint64
inhibitors(GemTestLoads *self, const char *kind)
{
  g_autoptr(GVariant) answer = gem_test_manager(self->client, "Stats", g_variant_new("(@a{sv})", NONE));
  g_autoptr(GVariant) stats = g_variant_get_child_value(answer, 0);
  g_autoptr(GVariant) counts = g_variant_lookup_value(stats, "idle_inhibitors", G_VARIANT_TYPE("a{st}"));
  guint64 count = 0;

  g_assert_nonnull(counts);
  g_variant_lookup(counts, kind, "t", &count);
  return count;
}

static void
wait_for_inhibitors(GemTestLoads *self, const char *kind, guint64 count)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (inhibitors(self, kind) != count) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(2000);
  }
}

static void
wait_for_model(GemTestLoads *self, const char *name)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  gboolean served = FALSE;

  while (!served) {
    g_autoptr(GVariant) value =
        gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelName");

    g_assert_cmpint(g_get_monotonic_time(), <, end);
    served = g_str_equal(g_variant_get_string(value, NULL), name);
    g_usleep(2000);
  }
}

/* With a mark by which it can be seen that the daemon has read it. */
static void
reload(GemTestLoads *self, const char *model)
{
  static guint64 mark = 1000000;
  g_autofree char *config = g_strdup_printf("Model=%s\nMemoryLimit=%" G_GUINT64_FORMAT "\n", model, ++mark);
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  guint64 limit = 0;

  gem_test_bus_reload(self->bus, config);
  while (limit != mark) {
    g_autoptr(GVariant) value =
        gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "MemoryLimit");

    g_assert_cmpint(g_get_monotonic_time(), <, end);
    limit = g_variant_get_uint64(value);
    g_usleep(2000);
  }
}

static void
start_configured(GemTestLoads *self, const char *model, const char *expected)
{
  self->bus->config_text = g_strdup_printf("[gemd]\nModel=%s\n", model);
  gem_test_loads_start(self, NULL, expected);
}

/* ---- what happens ---- */

static void
test_switch(GemTestLoads *self, gconstpointer data)
{
  start_configured(self, "ok", "ready");
  gem_test_loads_hold(self, "other");
  reload(self, "other");
  gem_test_manager_is(self->client, "ModelName", "fake");
  gem_test_manager_answers(self->client);
  g_assert_cmpuint(inhibitors(self, "loading"), ==, 1);
  gem_test_load_model_fails(self->client, "ok", "{}", GEM_ERROR_BUSY, "another model is being loaded");
  gem_test_loads_let_go(self, "other");
  wait_for_inhibitors(self, "loading", 0);
  gem_test_loads_other_serves(self);
  g_assert_cmpuint(inhibitors(self, "model"), ==, 0);
}

/* The old one stays, and what failed is tried again when the configuration is read again. */
static void
test_failure(GemTestLoads *self, gconstpointer data)
{
  static const char *const models[] = {"nonesuch", "broken", "mute"};

  start_configured(self, "ok", "ready");
  for (gsize i = 0; i < G_N_ELEMENTS(models); i++) {
    reload(self, models[i]);
    wait_for_inhibitors(self, "loading", 0);
    gem_test_manager_is(self->client, "ModelName", "fake");
    gem_test_manager_is(self->client, "ModelState", "ready");
    gem_test_manager_answers(self->client);
    /* The next start would not have it. */
    g_assert_cmpuint(inhibitors(self, "model"), ==, 1);
  }
  gem_test_loads_hold(self, "mute");
  reload(self, "mute");
  g_assert_cmpuint(inhibitors(self, "loading"), ==, 1);
  gem_test_loads_let_go(self, "mute");
  wait_for_inhibitors(self, "loading", 0);
  reload(self, "ok");
  g_assert_cmpuint(inhibitors(self, "loading"), ==, 0); /* it serves already */
  g_assert_cmpuint(inhibitors(self, "model"), ==, 0);
}

/* A service that has never had a model has none to stay for, whatever is tried. */
static void
test_failures_alone(GemTestLoads *self, gconstpointer data)
{
  start_configured(self, "broken", "failed");
  reload(self, "mute");
  wait_for_inhibitors(self, "loading", 0);
  gem_test_manager_is(self->client, "ModelState", "failed");
  g_assert_cmpuint(inhibitors(self, "model"), ==, 0);
}

/* The one that comes up while the configuration names another already is not what the next start brings. */
static void
test_failure_while_loading(GemTestLoads *self, gconstpointer data)
{
  gem_test_loads_hold(self, "ok");
  self->bus->config_text = g_strdup("[gemd]\nModel=ok\n");
  gem_test_bus_spawn(self->bus, NULL);
  gem_test_bus_wait_name(self->bus);
  reload(self, "broken");
  g_assert_cmpuint(inhibitors(self, "model"), ==, 0);
  gem_test_loads_let_go(self, "ok");
  wait_for_inhibitors(self, "model", 1);
  wait_for_inhibitors(self, "loading", 0);
  gem_test_manager_is(self->client, "ModelName", "fake");
}

/* The same name again is no reason to load, whatever serves meanwhile. */
static void
test_unchanged(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  start_configured(self, "ok", "ready");
  job = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_cmpuint(inhibitors(self, "model"), ==, 1);
  gem_test_loads_hold(self, "ok");
  reload(self, "ok");
  g_assert_cmpuint(inhibitors(self, "loading"), ==, 0);
  gem_test_loads_other_serves(self);
  /* What LoadModel brought is now what the next start brings. */
  reload(self, "other");
  g_assert_cmpuint(inhibitors(self, "loading"), ==, 0);
  g_assert_cmpuint(inhibitors(self, "model"), ==, 0);
}

/* A caller's model is loaded to its end first; of several names the last one counts. */
static void
test_after_job(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  start_configured(self, "ok", "ready");
  gem_test_loads_hold(self, "ok");
  job = gem_test_load_model(self->client, "ok", "{}");
  reload(self, "broken");
  reload(self, "other");
  gem_test_job_is(self->client, job, "running", 0);
  gem_test_loads_let_go(self, "ok");
  gem_test_job_ear_wait(self->ear, 1, "done");
  wait_for_model(self, "other");
  gem_test_loads_other_serves(self);
}

static void
test_while_loading(GemTestLoads *self, gconstpointer data)
{
  gem_test_loads_hold(self, "ok");
  self->bus->config_text = g_strdup("[gemd]\nModel=ok\n");
  gem_test_bus_spawn(self->bus, NULL);
  gem_test_bus_wait_name(self->bus);
  reload(self, "other");
  gem_test_manager_is(self->client, "ModelState", "loading");
  gem_test_loads_let_go(self, "ok");
  wait_for_model(self, "other");
  gem_test_loads_other_serves(self);
}

static void
test_after_failure(GemTestLoads *self, gconstpointer data)
{
  start_configured(self, "nonesuch", "failed");
  reload(self, "other");
  wait_for_model(self, "other");
  gem_test_loads_other_serves(self);
}

int
main(int argc, char **argv)
{
  static const GemTestLoadsCase cases[] = {
      {"/bus/reload/switch", test_switch},
      {"/bus/reload/failure", test_failure},
      {"/bus/reload/failures-alone", test_failures_alone},
      {"/bus/reload/failure-while-loading", test_failure_while_loading},
      {"/bus/reload/unchanged", test_unchanged},
      {"/bus/reload/after-job", test_after_job},
      {"/bus/reload/while-loading", test_while_loading},
      {"/bus/reload/after-failure", test_after_failure},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_loads_add(cases);
  return g_test_run();
}
