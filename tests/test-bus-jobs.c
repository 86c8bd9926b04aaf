/*
 * The job of LoadModel, as its caller sees it, and nobody else. On an engine without a model; each test has a
 * bus and a daemon of its own.
 */
#include <signal.h>
#include <string.h>

#include "tests/gem-test-loads.h"
#include "tests/gem-test-patience.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20

/* Calls LoadModel until it is not busy. */
static void
load_model_when_free(GemTestLoads *self, const char *name)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = gem_test_call(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                                              "LoadModel", g_variant_new("(s@a{sv})", name, NONE), &error);

    if (reply != NULL) {
      return;
    }
    g_assert_error(error, GEM_ERROR, GEM_ERROR_BUSY);
    g_usleep(5000);
  }
  g_error("LoadModel stays busy");
}

static void
test_cancel(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_loads_start(self, "/fake/ok", "ready");
  gem_test_loads_hold(self, "other");
  job = gem_test_load_model(self->client, "other", "{}");
  gem_test_job_cancel(self->client, job);
  gem_test_job_ear_wait(self->ear, 1, "cancelled"); /* at once, though it still loads */
  gem_test_job_is(self->client, job, "cancelled", 0);
  gem_test_load_model_fails(self->client, "ok", "{}", GEM_ERROR_BUSY, "*");
  gem_test_loads_let_go(self, "other");
  load_model_when_free(self, "broken");
  gem_test_job_ear_wait(self->ear, 2, "failed");
  gem_test_manager_is(self->client, "ModelName", "fake");
  gem_test_manager_answers(self->client);
}

/* ---- what others see of it ---- */

static void
on_backend_changed(GDBusConnection *connection,
                   const char *sender,
                   const char *path,
                   const char *interface,
                   const char *signal,
                   GVariant *parameters,
                   gpointer data)
{
  char **device = data;
  g_autoptr(GVariant) changed = g_variant_get_child_value(parameters, 1);

  g_variant_lookup(changed, "Device", "s", device);
}

/* An object that stays tells what the other model changed of it. */
static void
test_backend(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *device = NULL, *job = NULL;
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  guint subscription;

  gem_test_loads_start(self, "/fake/ok", "ready");
  subscription = g_dbus_connection_signal_subscribe(
      self->client, NULL, "org.freedesktop.DBus.Properties", "PropertiesChanged", GEM_BACKEND_PATH "/cpu",
      NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_backend_changed, &device, NULL);
  job = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  while (device == NULL && g_get_monotonic_time() < end) {
    gem_test_run_for(5);
  }
  g_assert_cmpstr(device, ==, "another");
  g_dbus_connection_signal_unsubscribe(self->client, subscription);
}

/* ---- whose job it is ---- */

static void
test_private(GemTestLoads *self, gconstpointer data)
{
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(self->bus);
  g_autoptr(GemTestJobEar) other_ear = gem_test_job_ear_new(other);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) cancelled = NULL, got = NULL, nodes = NULL;
  g_autofree char *job = NULL;
  const char *xml = NULL;

  gem_test_loads_start(self, "/fake/ok", "ready");
  gem_test_loads_hold(self, "other");
  job = gem_test_load_model(self->client, "other", "{}");
  cancelled = gem_test_call(other, job, GEM_JOB_INTERFACE, "Cancel", NULL, &error);
  g_assert_null(cancelled);
  g_assert_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD);
  g_clear_error(&error);
  got = gem_test_call(other, job, "org.freedesktop.DBus.Properties", "GetAll",
                      g_variant_new("(s)", GEM_JOB_INTERFACE), &error);
  g_assert_null(got);
  g_clear_error(&error);
  nodes =
      gem_test_call(other, GEM_JOB_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, &error);
  g_assert_no_error(error);
  g_variant_get(nodes, "(&s)", &xml);
  g_assert_null(strstr(xml, "<node name"));
  gem_test_loads_let_go(self, "other");
  gem_test_job_ear_wait(self->ear, 1, "done");
  gem_test_manager_answers(other); /* what was sent to it before has come by now */
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  g_assert_cmpuint(other_ear->completed, ==, 0);
  g_assert_cmpfloat(other_ear->progress, ==, 0);
}

/* The load goes on without the one who asked for it. */
static void
test_owner_leaves(GemTestLoads *self, gconstpointer data)
{
  GDBusConnection *owner = gem_test_bus_connect(self->bus);
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  g_autofree char *job = NULL;
  gboolean served = FALSE;

  gem_test_loads_start(self, "/fake/ok", "ready");
  gem_test_loads_hold(self, "other");
  job = gem_test_load_model(owner, "other", "{}");
  g_assert_nonnull(job);
  g_assert_true(g_dbus_connection_close_sync(owner, NULL, NULL));
  g_object_unref(owner);
  gem_test_manager_answers(self->client);
  gem_test_loads_let_go(self, "other");
  while (!served) {
    g_autoptr(GVariant) name =
        gem_test_get(self->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelName");

    g_assert_cmpint(g_get_monotonic_time(), <, end);
    served = g_str_equal(g_variant_get_string(name, NULL), "other");
    g_usleep(2000);
  }
  gem_test_loads_other_serves(self);
}

static void
test_terminate(GemTestLoads *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_loads_start(self, "/fake/ok", "ready");
  gem_test_loads_hold(self, "other");
  job = gem_test_load_model(self->client, "other", "{}");
  g_assert_nonnull(job);
  g_subprocess_send_signal(self->bus->daemon, SIGTERM);
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.ShuttingDown", "the service stops");
  g_assert_cmpint(gem_test_bus_wait_exit(self->bus), ==, 0);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(GemTestLoads *self, gconstpointer data);
  } tests[] = {
      {"/bus/jobs/cancel", test_cancel},       {"/bus/jobs/backend", test_backend},
      {"/bus/jobs/private", test_private},     {"/bus/jobs/owner-leaves", test_owner_leaves},
      {"/bus/jobs/terminate", test_terminate},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, GemTestLoads, NULL, gem_test_loads_set_up, tests[i].run,
               gem_test_loads_tear_down);
  }
  return g_test_run();
}
