#include "daemon/bus/gem-bus-job.h"

#include <string.h>

#include "daemon/bus/gem-private-tree.h"
#include "dbus/gem-dbus-generated.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* How long, and how many, jobs that are over can still be looked at. */
#define KEEP_SECONDS 60u
#define MOST_KEPT    16u
/* What changes while it runs is told so often at most: who does the work may say more. */
#define TELL_MILLISECONDS 250u

typedef enum { RUNNING, DONE, FAILED, CANCELLED, REFUSED } JobState;

static const char *const state_names[] = {"running", "done", "failed", "cancelled", "refused"};

struct _GemBusJobs {
  GDBusConnection *connection;
  GemWork *work;
  GemPrivateTree *tree;
  GQueue over; /* of GemBusJob, the oldest first: seen still */
};

struct _GemBusJob {
  GemBusJobs *jobs;
  GemCaller *caller; /* NULL: it left, and there is no object any more */
  gulong bye;        /* handler: the caller left */
  const GemBusJobKind *kind;
  gpointer data;
  char *node, *path;
  JobState state;
  double progress;
  const char *phase;
  gboolean cancelled; /* the kind was told */
  guint forget;       /* source: it is over for long */
  guint tell;         /* source: something was told a moment ago */
  gboolean changed;   /* since then */
};

static void
job_free(GemBusJob *self)
{
  g_clear_handle_id(&self->forget, g_source_remove);
  g_clear_handle_id(&self->tell, g_source_remove);
  g_free(self->node);
  g_free(self->path);
  g_free(self);
}

/* The caller no longer sees it. */
static void
job_hide(GemBusJob *self)
{
  if (self->caller != NULL) {
    g_signal_handler_disconnect(self->caller->bye, self->bye);
    gem_private_tree_remove(self->jobs->tree, self->node);
    g_clear_pointer(&self->caller, gem_caller_unref);
  }
}

/* One that is over goes. */
static void
job_forget(GemBusJob *self)
{
  g_queue_remove(&self->jobs->over, self);
  job_hide(self);
  job_free(self);
}

static void
job_cancel(GemBusJob *self)
{
  if (self->state == RUNNING && !self->cancelled) {
    self->cancelled = TRUE;
    self->kind->cancel(self->data);
  }
}

static void
on_bye(GCancellable *bye, gpointer data)
{
  GemBusJob *self = data;

  if (self->state != RUNNING) {
    job_forget(self);
    return;
  }
  job_hide(self);
  if (!self->kind->outlives_caller) {
    job_cancel(self);
  }
}

/* ---- what the caller is told: never through the generated emitters, which tell the whole bus ---- */

static void
job_emit(GemBusJob *self, const char *interface, const char *signal, GVariant *parameters)
{
  g_dbus_connection_emit_signal(self->jobs->connection, self->caller->sender, self->path, interface, signal,
                                parameters, NULL);
}

static void
job_emit_changed(GemBusJob *self)
{
  GVariantBuilder changed;

  g_variant_builder_init(&changed, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&changed, "{sv}", "State", g_variant_new_string(state_names[self->state]));
  g_variant_builder_add(&changed, "{sv}", "Progress", g_variant_new_double(self->progress));
  g_variant_builder_add(&changed, "{sv}", "Phase", g_variant_new_string(self->phase));
  job_emit(self, "org.freedesktop.DBus.Properties", "PropertiesChanged",
           g_variant_new("(sa{sv}as)", GEM_JOB_INTERFACE, &changed, NULL));
}

static gboolean
on_tell(gpointer data)
{
  GemBusJob *self = data;

  if (!self->changed || self->caller == NULL) {
    self->tell = 0;
    return G_SOURCE_REMOVE;
  }
  self->changed = FALSE;
  job_emit_changed(self);
  return G_SOURCE_CONTINUE;
}

/* Something changed: that is told now, or when the time has come. */
static void
job_tell_changed(GemBusJob *self)
{
  if (self->caller == NULL) {
    return;
  }
  if (self->tell != 0) {
    self->changed = TRUE;
    return;
  }
  job_emit_changed(self);
  self->tell = g_timeout_add(TELL_MILLISECONDS, on_tell, self);
}

static gboolean
on_forget(gpointer data)
{
  GemBusJob *self = data;

  self->forget = 0;
  job_forget(self);
  return G_SOURCE_REMOVE;
}

static void
job_end(GemBusJob *self, JobState state, GVariant *details)
{
  g_autoptr(GVariant) taken = g_variant_ref_sink(details != NULL ? details : g_variant_new("a{sv}", NULL));

  g_return_if_fail(self->state == RUNNING);
  self->state = state;
  g_clear_handle_id(&self->tell, g_source_remove);
  gem_work_end(self->jobs->work, GEM_IDLE_JOBS);
  if (self->caller == NULL) {
    job_free(self);
    return;
  }
  job_emit_changed(self);
  job_emit(self, GEM_JOB_INTERFACE, "Completed", g_variant_new("(s@a{sv})", state_names[state], taken));
  if (self->jobs->over.length >= MOST_KEPT) {
    job_forget(g_queue_peek_head(&self->jobs->over));
  }
  g_queue_push_tail(&self->jobs->over, self);
  self->forget = g_timeout_add_seconds(KEEP_SECONDS, on_forget, self);
}

void
gem_bus_job_done(GemBusJob *self, GVariant *details)
{
  self->progress = 1;
  job_end(self, DONE, details);
}

void
gem_bus_job_refuse(GemBusJob *self, GVariant *details)
{
  job_end(self, REFUSED, details);
}

void
gem_bus_job_fail(GemBusJob *self, const GError *error)
{
  g_autoptr(GError) mapped = gem_error_for_caller(g_error_copy(error));
  GVariantBuilder details;

  g_variant_builder_init(&details, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&details, "{sv}", "error", g_variant_new_string(gem_error_name(mapped->code)));
  g_variant_builder_add(&details, "{sv}", "message", g_variant_new_string(mapped->message));
  job_end(self, FAILED, g_variant_builder_end(&details));
}

void
gem_bus_job_cancel_done(GemBusJob *self)
{
  job_end(self, CANCELLED, NULL);
}

void
gem_bus_job_set_progress(GemBusJob *self, double progress)
{
  g_return_if_fail(self->state == RUNNING && progress >= 0 && progress < 1);
  if (progress > self->progress) {
    self->progress = progress;
    job_tell_changed(self);
  }
}

void
gem_bus_job_set_phase(GemBusJob *self, const char *phase)
{
  g_return_if_fail(self->state == RUNNING);
  if (!g_str_equal(self->phase, phase)) {
    self->phase = g_intern_string(phase);
    job_tell_changed(self);
  }
}

/* ---- the bus ---- */

static void
on_call(gpointer object, const char *method, GVariant *parameters, GDBusMethodInvocation *invocation)
{
  g_assert(g_str_equal(method, "Cancel"));
  job_cancel(object);
  g_dbus_method_invocation_return_value(invocation, NULL);
}

static GVariant *
on_get(gpointer object, const char *property)
{
  const GemBusJob *self = object;

  if (g_str_equal(property, "Kind")) {
    return g_variant_new_string(self->kind->name);
  }
  if (g_str_equal(property, "State")) {
    return g_variant_new_string(state_names[self->state]);
  }
  if (g_str_equal(property, "Phase")) {
    return g_variant_new_string(self->phase);
  }
  g_assert(g_str_equal(property, "Progress"));
  return g_variant_new_double(self->progress);
}

static const GemPrivateFunctions functions = {on_call, on_get};

GemBusJob *
gem_bus_job_new(GemBusJobs *jobs, GemCaller *caller, const GemBusJobKind *kind, gpointer data)
{
  GemBusJob *self = g_new0(GemBusJob, 1);

  self->jobs = jobs;
  self->caller = gem_caller_ref(caller);
  self->kind = kind;
  self->phase = "";
  self->data = data;
  self->node = g_strdelimit(g_uuid_string_random(), "-", '_');
  self->path = g_strconcat(GEM_JOB_PATH "/", self->node, NULL);
  self->bye = g_signal_connect(caller->bye, "cancelled", G_CALLBACK(on_bye), self);
  gem_private_tree_add(jobs->tree, self->node, caller->sender, self);
  gem_work_begin(jobs->work, GEM_IDLE_JOBS);
  return self;
}

const char *
gem_bus_job_get_path(GemBusJob *self)
{
  return self->path;
}

GemBusJobs *
gem_bus_jobs_new(GDBusConnection *connection, GemWork *work, GError **error)
{
  GemPrivateTree *tree =
      gem_private_tree_new(connection, GEM_JOB_PATH, gem_dbus_job_interface_info(), &functions, error);
  GemBusJobs *self;

  if (tree == NULL) {
    return NULL;
  }
  self = g_new0(GemBusJobs, 1);
  self->connection = connection;
  self->work = work;
  self->tree = tree;
  g_queue_init(&self->over);
  return self;
}

void
gem_bus_jobs_free(GemBusJobs *self)
{
  while (!g_queue_is_empty(&self->over)) {
    job_forget(g_queue_peek_head(&self->over));
  }
  gem_private_tree_free(self->tree);
  g_free(self);
}
