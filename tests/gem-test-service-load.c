/* LoadModel of the stand-in, and its job. */
#include "tests/gem-test-service-private.h"

#include "dbus/gem-names.h"

typedef struct {
  GemTestService *service;
  GemDBusJob *job;
  char *caller;
  gboolean stubborn; /* Cancel is answered, and nothing follows */
} Load;

static void
load_free(gpointer data)
{
  Load *load = data;

  g_object_unref(load->job);
  g_free(load->caller);
  g_free(load);
}

static void
emit_of_job(Load *load, const char *interface, const char *signal, GVariant *parameters)
{
  g_dbus_connection_emit_signal(load->service->connection, load->caller, GEM_JOB_PATH "/test", interface,
                                signal, parameters, NULL);
}

static void
complete(Load *load, const char *result, const char *details)
{
  emit_of_job(load, GEM_JOB_INTERFACE, "Completed",
              g_variant_new("(s@a{sv})", result, g_variant_new_parsed(details)));
  g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(load->job));
}

static gboolean
on_cancel_job(GemDBusJob *job, GDBusMethodInvocation *invocation, gpointer data)
{
  Load *load = data;

  load->service->cancels++;
  gem_dbus_job_complete_cancel(job, invocation);
  if (!load->stubborn) {
    complete(load, "cancelled", "@a{sv} {}");
  }
  return TRUE;
}

gboolean
gem_test_service_on_load_model(GemDBusManager *manager,
                               GDBusMethodInvocation *invocation,
                               const char *name,
                               GVariant *options,
                               gpointer data)
{
  GemTestService *self = data;
  Load *load;

  if (!gem_test_service_take_text(self, invocation, name, options)) {
    return TRUE;
  }
  load = g_new0(Load, 1);
  load->service = self;
  load->caller = g_strdup(g_dbus_method_invocation_get_sender(invocation));
  load->stubborn = g_str_equal(name, "stubborn");
  load->job = gem_dbus_job_skeleton_new();
  g_object_set_data_full(G_OBJECT(manager), "load", load, load_free);
  g_signal_connect(load->job, "handle-cancel", G_CALLBACK(on_cancel_job), load);
  g_assert_true(g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(load->job), self->connection,
                                                 GEM_JOB_PATH "/test", NULL));
  gem_dbus_manager_complete_load_model(manager, invocation, GEM_JOB_PATH "/test");
  emit_of_job(
      load, "org.freedesktop.DBus.Properties", "PropertiesChanged",
      g_variant_new("(s@a{sv}as)", GEM_JOB_INTERFACE, g_variant_new_parsed("{'Progress': <0.5>}"), NULL));
  if (g_str_equal(name, "bad")) {
    complete(load, "failed", "{'error': <'org.gemd.Gem1.Error.Model'>, 'message': <'weights are gone'>}");
  } else if (!g_str_equal(name, "held") && !load->stubborn) {
    complete(load, "done", "{'model': <'gem-new'>, 'seconds': <1.25>}");
  }
  return TRUE;
}
