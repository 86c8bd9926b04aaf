#include "daemon/service/gem-load-model.h"

#include "daemon/base/gem-log.h"
#include "daemon/bus/gem-bus-job.h"
#include "daemon/service/gem-authorize.h"
#include "daemon/service/gem-service.h"
#include "dbus/gem-names.h"

/* How long what runs on the old model has to end, unless the caller says otherwise. */
#define GRACE_SECONDS 60u
/* The new model's first turn, which must succeed: it is nobody's text. */
#define WARM_UP_TEXT   "Hello"
#define WARM_UP_TOKENS 1u
/* Progress: of the time, loading takes nearly all. */
#define PROGRESS_LOADED 0.9

/* One model on its way. It frees itself when loading and warming up are over, even when nobody wants the
 * model any more: that cannot be cut short, and it must not happen twice at a time. */
typedef struct {
  GemModelLoads *loads; /* NULL: the service is gone */
  GemBusJob *job;       /* NULL: it is over for the caller, or nobody's */
  char *name;           /* as the caller or the configuration has it */
  char *path;
  GCancellable *given_up;
  guint grace_seconds;
  gboolean configured; /* the configuration wants it, and nobody waits for it */
  gint64 began;        /* monotonic, us */
  GemEngine *engine;
  GemSequence *sequence; /* of the warm-up */
  GemGeneration *generation;
} Load;

struct _GemModelLoads {
  GemService *service;
  Load *running;         /* NULL: none */
  char *served;          /* path of the model that is served, and before one is, of the one to start with;
                            NULL: there was none to start with */
  gboolean is_other;     /* the model that is served is not the configured one */
  gboolean wanted;       /* the configured one is to be loaded when nothing else is */
  gboolean failed;       /* it could not be when it was wanted last */
  gboolean renewed;      /* it is wanted anew, though it is served */
  GCancellable *looking; /* for devices */
};

static void
loads_go_on(GemModelLoads *self);

/* Takes `engine`; it is stopped without a wait. */
static void
discard_engine(GemEngine *engine)
{
  gem_engine_stop_async(engine, NULL, NULL);
  g_object_unref(engine);
}

static void
load_free(Load *load)
{
  GemModelLoads *loads = load->loads;

  g_clear_object(&load->generation);
  g_clear_object(&load->sequence);
  g_clear_pointer(&load->engine, discard_engine);
  g_object_unref(load->given_up);
  g_free(load->name);
  g_free(load->path);
  if (loads != NULL) {
    loads->running = NULL;
    if (load->configured) {
      gem_idle_release(gem_service_get_idle(loads->service), GEM_IDLE_LOADING);
    }
    loads_go_on(loads);
  }
  g_free(load);
}

static void
log_not_changed(const char *name, const GError *error)
{
  gem_log(LOG_ERR, GEM_LOG_MODEL_NOT_CHANGED, (const char *[]){"GEM_MODEL", name, NULL},
          "the model stays as it was: %s", error->message);
}

/* Ends the job, if there is one: done (`error` is NULL), failed, or given up (it has ended already). */
static void
load_end(Load *load, const GError *error)
{
  GemBusJob *job = g_steal_pointer(&load->job);

  if (error != NULL && !g_cancellable_is_cancelled(load->given_up)) {
    log_not_changed(load->name, error);
  }
  if (load->configured && load->loads != NULL) {
    load->loads->failed = TRUE;
  }
  if (job != NULL && error != NULL) {
    gem_bus_job_fail(job, error);
  }
  load_free(load);
}

/* ---- the new model answers ---- */

/* A service that serves another model than the next start would has a reason to stay; one that serves none
 * has not. */
static void
loads_note_served(GemModelLoads *self)
{
  GemIdle *idle = gem_service_get_idle(self->service);
  const GemConfig *config = gem_service_get_config(self->service);
  g_autofree char *configured = gem_config_find_model(config, config->model, NULL);
  gboolean is_other = gem_model_host_get_state(gem_service_get_model(self->service)) == GEM_MODEL_READY &&
                      self->served != NULL && g_strcmp0(self->served, configured) != 0;

  if (is_other && !self->is_other) {
    gem_idle_inhibit(idle, GEM_IDLE_MODEL);
  } else if (!is_other && self->is_other) {
    gem_idle_release(idle, GEM_IDLE_MODEL);
  }
  self->is_other = is_other;
}

static void
load_serve(Load *load)
{
  GemService *service = load->loads->service;
  GemEngine *engine = g_steal_pointer(&load->engine);
  g_autoptr(GemEngine) old = gem_service_get_engine(service);
  GemBusJob *job = g_steal_pointer(&load->job);
  double seconds = (double)(g_get_monotonic_time() - load->began) / G_USEC_PER_SEC;
  GVariantBuilder details;

  g_clear_object(&load->generation);
  g_clear_object(&load->sequence);
  if (old != NULL) {
    g_object_ref(old);
  }
  gem_model_host_replace(gem_service_get_model(service), engine, seconds, load->grace_seconds);
  g_free(load->loads->served);
  load->loads->served = g_strdup(load->path);
  load->loads->failed = load->loads->failed && !load->configured;
  loads_note_served(load->loads);
  gem_holds_drop_others(gem_service_get_holds(service), engine);
  if (old != NULL) {
    /* Idle sessions never come back to it. */
    gem_engine_relieve_async(old, GEM_RELIEF_IDLE_CACHES, NULL, NULL, NULL);
  }
  gem_service_show_model(service);
  if (job != NULL) {
    g_variant_builder_init(&details, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&details, "{sv}", "model", g_variant_new_string(gem_engine_get_model_name(engine)));
    g_variant_builder_add(&details, "{sv}", "seconds", g_variant_new_double(seconds));
    gem_bus_job_done(job, g_variant_builder_end(&details));
  }
  load_free(load);
}

static void
on_text(const char *text, gsize length, gpointer data)
{
}

static void
on_warm(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  Load *load = data;
  g_autoptr(GError) failure = NULL;

  if (g_cancellable_is_cancelled(load->given_up)) {
    load_free(load);
  } else if (stats->reason == GEM_FINISH_FAILED || stats->reason == GEM_FINISH_SHUTDOWN) {
    failure = g_error_new(GEM_ERROR, GEM_ERROR_MODEL, "model %s does not answer: %s",
                          gem_engine_get_model_name(load->engine),
                          error != NULL ? error->message : "its engine stopped");
    load_end(load, failure);
  } else {
    load_serve(load);
  }
}

static void
load_warm_up(Load *load)
{
  static const GemGenerationEvents events = {.text = on_text, .finished = on_warm};
  const GemGenerateOptions options = {.max_tokens = WARM_UP_TOKENS};
  const GemRunOptions run = {0};
  g_autoptr(GError) error = NULL;

  load->sequence = gem_engine_new_sequence(load->engine, &run, &error);
  if (load->sequence != NULL) {
    load->generation =
        gem_sequence_generate(load->sequence, WARM_UP_TEXT, &options, &events, load, NULL, &error);
  }
  if (load->generation == NULL) {
    load_end(load, error);
  }
}

static void
on_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
  Load *load = data;
  g_autoptr(GError) error = NULL;

  load->engine = gem_model_host_load_finish(result, &error);
  if (g_cancellable_is_cancelled(load->given_up)) {
    load_free(load);
  } else if (load->engine == NULL) {
    load_end(load, error);
  } else {
    if (load->job != NULL) {
      gem_bus_job_set_progress(load->job, PROGRESS_LOADED);
    }
    load_warm_up(load);
  }
}

/* ---- the beginning ---- */

static gboolean
loads_check_free(GemModelLoads *self, GError **error)
{
  GemModelHost *host = gem_service_get_model(self->service);

  if (gem_model_host_get_state(host) == GEM_MODEL_LOADING || self->running != NULL || self->wanted) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_BUSY, "another model is being loaded");
    return FALSE;
  }
  return TRUE;
}

static Load *
loads_start(GemModelLoads *self, const char *name, const char *path, guint grace_seconds)
{
  Load *load = g_new0(Load, 1);

  load->loads = self;
  load->name = g_strdup(name);
  load->path = g_strdup(path);
  load->given_up = g_cancellable_new();
  load->grace_seconds = grace_seconds > 0 ? grace_seconds : GRACE_SECONDS;
  load->began = g_get_monotonic_time();
  self->running = load;
  /* It is done in moments, long before the other model's weights are read. */
  gem_memory_make_room(gem_service_get_memory(self->service));
  gem_model_host_load_async(gem_service_get_model(self->service), path, load->given_up, on_loaded, load);
  return load;
}

/* The caller is told at once; the engine goes when it is there to be stopped. */
static void
on_cancel(gpointer data)
{
  Load *load = data;
  GemBusJob *job = g_steal_pointer(&load->job);

  g_cancellable_cancel(load->given_up);
  if (load->generation != NULL) {
    gem_generation_cancel(load->generation);
  }
  gem_bus_job_cancel_done(job);
}

static const GemBusJobKind load_kind = {"load-model", on_cancel, .outlives_caller = TRUE};

static gboolean
check_name(const char *name, GError **error)
{
  if (!gem_config_is_model_name(name)) {
    gem_error_set_argument(error, "name",
                           "the name of a model is wanted, without \"/\" and with no \".\" first");
    return FALSE;
  }
  return TRUE;
}

static void
load_authorized(GemCall *call)
{
  GemService *service = gem_call_get_service(call);
  GemModelLoads *self = gem_service_get_loads(service);
  g_auto(GemCallOptions) options = {0};
  g_autofree char *path = NULL;
  const char *name = NULL;
  GError *error = NULL;
  Load *load;

  if (!gem_call_read_options(call, 1, GEM_OPTION_GRACE, 0, &options)) {
    return;
  }
  g_variant_get_child(gem_call_get_parameters(call), 0, "&s", &name);
  if (check_name(name, &error)) {
    path = gem_config_find_model_named(gem_service_get_config(service), name, &error);
  }
  if (path == NULL || !gem_service_check_staying(service, &error) || !loads_check_free(self, &error)) {
    error->code = path == NULL && error->code == GEM_ERROR_NOT_READY ? GEM_ERROR_MODEL : error->code;
    gem_call_fail(call, error);
    return;
  }
  load = loads_start(self, name, path, options.grace_seconds);
  load->job = gem_bus_job_new(gem_service_get_jobs(service), gem_call_get_caller(call), &load_kind, load);
  gem_call_return(call, g_variant_new("(o)", gem_bus_job_get_path(load->job)));
}

void
gem_load_model_run(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_LOAD_MODEL, load_authorized);
}

/* ---- the configuration names another one ---- */

static void
loads_start_configured(GemModelLoads *self)
{
  const GemConfig *config = gem_service_get_config(self->service);
  GemModelHost *host = gem_service_get_model(self->service);
  g_autoptr(GError) error = NULL;
  g_autofree char *path = gem_config_find_model(config, config->model, &error);

  self->failed = path == NULL;
  if (path == NULL) {
    log_not_changed(config->model, error);
  } else if (gem_model_host_get_state(host) != GEM_MODEL_READY || g_strcmp0(path, self->served) != 0 ||
             self->renewed) {
    self->renewed = FALSE;
    gem_idle_inhibit(gem_service_get_idle(self->service), GEM_IDLE_LOADING);
    loads_start(self, config->model, path, GRACE_SECONDS)->configured = TRUE;
  }
}

/* Nothing is begun that would not see its end: the next start has the new configuration anyway. */
static void
loads_go_on(GemModelLoads *self)
{
  if (self->wanted && self->running == NULL && !gem_service_is_stopping(self->service) &&
      gem_service_check_staying(self->service, NULL)) {
    self->wanted = FALSE;
    loads_start_configured(self);
  }
}

static void
on_settled(gpointer data)
{
  loads_note_served(data);
  loads_go_on(data);
}

void
gem_model_loads_reload(GemModelLoads *self, gboolean changed)
{
  GemModelHost *host = gem_service_get_model(self->service);

  loads_note_served(self);
  if (changed || self->failed || gem_model_host_get_state(host) == GEM_MODEL_FAILED) {
    self->wanted = TRUE;
    gem_model_host_when_settled(host, on_settled, self);
  }
}

/* The configured model is loaded anew, to run on what is there now; another one that serves is left alone. */
static void
on_looked(GObject *source, GAsyncResult *result, gpointer data)
{
  GemEngine *engine = GEM_ENGINE(source);
  gboolean found = gem_engine_look_for_devices_finish(engine, result);
  GemModelLoads *self = found ? data : NULL; /* it is gone when that was cancelled */

  if (self != NULL && !self->is_other && engine == gem_service_get_engine(self->service)) {
    self->wanted = TRUE;
    self->renewed = TRUE;
    loads_go_on(self);
  }
}

void
gem_model_loads_look_for_devices(GemModelLoads *self)
{
  GemEngine *engine = gem_service_get_engine(self->service);

  if (engine != NULL) {
    gem_engine_try_devices_again(engine);
    g_cancellable_cancel(self->looking);
    g_object_unref(self->looking);
    self->looking = g_cancellable_new();
    gem_engine_look_for_devices_async(engine, self->looking, on_looked, self);
  }
}

/* ---- all of them ---- */

GemModelLoads *
gem_model_loads_new(GemService *service)
{
  GemModelLoads *self = g_new0(GemModelLoads, 1);
  const GemConfig *config = gem_service_get_config(service);

  self->service = service;
  self->looking = g_cancellable_new();
  self->served = gem_config_find_model(config, config->model, NULL);
  return self;
}

void
gem_model_loads_stop(GemModelLoads *self)
{
  g_autoptr(GError) error = g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops");
  GemBusJob *job = self->running != NULL ? g_steal_pointer(&self->running->job) : NULL;

  self->wanted = FALSE;
  if (self->running != NULL) {
    g_cancellable_cancel(self->running->given_up);
  }
  if (job != NULL) {
    gem_bus_job_fail(job, error);
  }
}

void
gem_model_loads_free(GemModelLoads *self)
{
  gem_model_loads_stop(self);
  g_cancellable_cancel(self->looking);
  g_object_unref(self->looking);
  if (self->running != NULL) {
    self->running->loads = NULL;
    if (self->running->engine != NULL) {
      gem_engine_stop(self->running->engine);
    }
  }
  g_free(self->served);
  g_free(self);
}
