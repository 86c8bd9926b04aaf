#include "daemon/service/gem-service.h"

#include "daemon/base/gem-log.h"
#include "daemon/bus/gem-descriptors.h"
#include "daemon/service/gem-manager.h"
#include "daemon/service/gem-memory.h"
#include "daemon/service/gem-model-list.h"
#include "daemon/service/gem-model-objects.h"
#include "dbus/gem-dbus-generated.h"
#include "dbus/gem-names.h"

/* How long readers have to take what is left when the service stops. */
#define DRAIN_MILLISECONDS 1000u
/* How long nothing may come, after an idle service gave its name away, before it ends: for callers that
 * speak to its connection, and have yet to hear that it has no name. */
#define LINGER_MILLISECONDS 100u
/* Calls that work in the engine at a time: as many as it runs side by side. */
#define PARALLEL_CALLS 4u

struct _GemService {
  GDBusConnection *connection;
  GemConfig *config;
  const GemServiceEvents *events;
  gpointer data;

  GemCallers *callers;
  GemModelHost *model;
  GemMemory *memory;
  GemStatistics *statistics;
  GemIdle *idle;
  GemWork *work;
  GCancellable *stop; /* cancelled when it stops */
  GemCallQueue *asks;
  GemCallQueue *queue;
  GemHolds *holds;
  GemRequests *requests;
  GemSessions *sessions;
  GemManagerObject *manager;
  GemBusJobs *jobs;
  GemModelLoads *loads;
  GemModelList *models;
  GemLearned *learned;
  GDBusObjectManagerServer *objects;
  GemModelObjects *model_objects;

  guint name;   /* owner id */
  guint guard;  /* filter of the connection: gem-descriptors.h */
  guint drain;  /* timeout source while stopping */
  guint finish; /* idle source */
  gulong closed;
  gboolean named;   /* the name is owned */
  gboolean leaving; /* nobody needed it: its name is given away, or about to be */
  gboolean telling; /* who starts it again does not know yet */
  GArray *untold;   /* of Waiting */
  gboolean stopping, ended;
};

typedef struct {
  void (*done)(gpointer data);
  gpointer data;
} Waiting;

/* ---- the end ---- */

static void
service_end(GemService *self, const GError *error)
{
  if (!self->ended) {
    self->ended = TRUE;
    self->events->ended(error, self->data);
  }
}

static void
on_flushed(GObject *source, GAsyncResult *result, gpointer data)
{
  g_dbus_connection_flush_finish(G_DBUS_CONNECTION(source), result, NULL);
  service_end(data, NULL);
}

static gboolean
on_finish(gpointer data)
{
  GemService *self = data;

  self->finish = 0;
  g_clear_handle_id(&self->drain, g_source_remove);
  gem_requests_force(self->requests);
  g_dbus_connection_flush(self->connection, NULL, on_flushed, self);
  return G_SOURCE_REMOVE;
}

static gboolean
on_drain_over(gpointer data)
{
  GemService *self = data;

  self->drain = 0;
  if (self->finish == 0) {
    self->finish = g_idle_add(on_finish, self);
  }
  return G_SOURCE_REMOVE;
}

static void
on_no_work(gpointer data)
{
  GemService *self = data;

  if (self->stopping && self->drain != 0 && self->finish == 0) {
    self->finish = g_idle_add(on_finish, self);
  }
}

static void
service_settle_untold(GemService *self)
{
  g_autoptr(GArray) untold = self->untold;

  self->telling = FALSE;
  self->untold = g_array_new(FALSE, FALSE, sizeof(Waiting));
  for (guint i = 0; i < untold->len; i++) {
    const Waiting *one = &g_array_index(untold, Waiting, i);

    one->done(one->data);
  }
}

void
gem_service_stop(GemService *self)
{
  if (self->stopping) {
    return;
  }
  self->stopping = TRUE;
  g_cancellable_cancel(self->stop);
  service_settle_untold(self);
  gem_call_queue_run_all(self->queue);
  gem_call_queue_run_all(self->asks);
  gem_model_loads_stop(self->loads);
  gem_learned_stop(self->learned);
  gem_model_host_stop(self->model);
  /* on_no_work finishes only from here on: until now not all that there is to end had been told. */
  self->drain = g_timeout_add(DRAIN_MILLISECONDS, on_drain_over, self);
  if (gem_work_is_none(self->work)) {
    on_no_work(self);
  }
}

/* ---- nobody needs it ---- */

/*
 * No call is lost, whenever it comes. systemd is told first, and must have heard it: from then on it starts
 * the service anew for a call that finds no owner of the name, once this process is gone; before, it would
 * see a service that runs already. Calls that come meanwhile wait. Then the name goes, and the bus says so
 * behind all calls that it had sent here: these are served, and so is what else comes until it was quiet for
 * a moment.
 */
static void
on_idle(gpointer data)
{
  GemService *self = data;

  if (self->stopping || !self->named || self->telling) {
    return;
  }
  if (self->leaving) {
    gem_service_stop(self);
    return;
  }
  self->leaving = TRUE;
  self->telling = TRUE;
  gem_log(LOG_NOTICE, GEM_LOG_IDLE, NULL,
          "nobody needs the service: it ends, and starts again with the next call");
  self->events->leaving(self->data);
}

void
gem_service_leave(GemService *self)
{
  if (self->stopping || !self->telling) {
    return;
  }
  g_clear_handle_id(&self->name, g_bus_unown_name); /* waits for the bus */
  gem_idle_set_milliseconds(self->idle, LINGER_MILLISECONDS);
  service_settle_untold(self);
}

void
gem_service_when_told(GemService *self, void (*done)(gpointer data), gpointer data)
{
  const Waiting waiting = {done, data};

  if (self->telling) {
    g_array_append_val(self->untold, waiting);
  } else {
    done(data);
  }
}

gboolean
gem_service_check_staying(GemService *self, GError **error)
{
  if (self->leaving) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN,
                        "the service was idle and is about to end; the same call starts it again");
    return FALSE;
  }
  return TRUE;
}

static void
service_apply_idle(GemService *self)
{
  if (!self->leaving) {
    gem_idle_set_milliseconds(self->idle, self->config->idle_exit_milliseconds > 0
                                              ? self->config->idle_exit_milliseconds
                                              : self->config->idle_exit_seconds * 1000);
  }
}

/* ---- the model ---- */

static void
service_apply_config(GemService *self)
{
  GemEngine *engine = gem_service_get_engine(self);
  guint64 limit = self->config->memory_limit;
  g_autofree char *bytes = NULL;

  service_apply_idle(self);
  if (engine == NULL) {
    return;
  }
  gem_memory_apply_limit(self->memory);
  gem_engine_set_page_in(engine, self->config->page_in_degrade ? GEM_PAGE_IN_DEGRADE : GEM_PAGE_IN_WAIT);
  if (limit > 0 && limit < gem_engine_get_fixed_bytes(engine)) {
    bytes = g_strdup_printf("%" G_GUINT64_FORMAT, gem_engine_get_fixed_bytes(engine));
    gem_log(LOG_WARNING, GEM_LOG_MEMORY_LIMIT, (const char *[]){"GEM_BYTES", bytes, NULL},
            "MemoryLimit is %" G_GUINT64_FORMAT
            " bytes, but the general part of the model alone takes %s: it is served, and the limit not kept",
            limit, bytes);
  }
}

void
gem_service_reload_config(GemService *self, gboolean model_changed)
{
  service_apply_config(self);
  gem_model_loads_reload(self->loads, model_changed);
  gem_model_loads_look_for_devices(self->loads);
}

void
gem_service_show_model(GemService *self)
{
  GemEngine *engine = gem_service_get_engine(self);

  if (engine != NULL) {
    service_apply_config(self);
    gem_memory_lock_code(self->memory);
    gem_model_objects_update(self->model_objects, engine);
    gem_memory_take_model(self->memory);
    gem_learned_take_model(self->learned, engine);
    gem_log(LOG_NOTICE, GEM_LOG_MODEL_LOADED,
            (const char *[]){"GEM_MODEL", gem_engine_get_model_name(engine), NULL},
            "model %s is loaded, in %.3f s; %" G_GUINT64_FORMAT " bytes resident",
            gem_engine_get_model_name(engine), gem_model_host_get_load_seconds(self->model),
            gem_engine_get_resident_bytes(engine));
  } else {
    gem_log(LOG_ERR, GEM_LOG_MODEL_FAILED, (const char *[]){"GEM_MODEL", self->config->model, NULL}, "%s",
            gem_model_host_get_error(self->model)->message);
  }
  gem_manager_object_update(self->manager);
  self->events->settled(self->data);
}

static void
on_settled(gpointer data)
{
  GemService *self = data;

  gem_idle_release(self->idle, GEM_IDLE_LOADING);
  if (!self->stopping) {
    gem_service_show_model(self);
  }
}

static void
on_models(gpointer data)
{
  GemService *self = data;

  gem_dbus_manager_set_models(GEM_DBUS_MANAGER(self->manager), gem_model_list_get(self->models));
}

/* ---- the beginning ---- */

static void
on_name_acquired(GDBusConnection *connection, const char *name, gpointer data)
{
  GemService *self = data;

  self->named = TRUE;
  self->events->ready(self->data);
}

static void
on_name_lost(GDBusConnection *connection, const char *name, gpointer data)
{
  GemService *self = data;
  g_autoptr(GError) error = NULL;

  if (!self->stopping) {
    error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED,
                        "the name %s cannot be owned: another service has it, or the bus refuses it", name);
    service_end(self, error);
  }
}

static void
on_closed(GDBusConnection *connection, gboolean remote, const GError *why, gpointer data)
{
  g_autoptr(GError) error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED, "the connection to the bus is lost%s%s",
                                        why != NULL ? ": " : "", why != NULL ? why->message : "");

  service_end(data, error);
}

static gboolean
service_export_root(GemService *self, GError **error)
{
  self->manager = gem_manager_object_new(self);
  self->models = gem_model_list_new(self->config, on_models, self);
  on_models(self);
  if (!g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(self->manager), self->connection,
                                        GEM_OBJECT_PATH, error)) {
    return FALSE;
  }
  self->objects = g_dbus_object_manager_server_new(GEM_OBJECT_PATH);
  g_dbus_object_manager_server_set_connection(self->objects, self->connection);
  self->requests = gem_requests_new(self, error);
  if (self->requests == NULL) {
    return FALSE;
  }
  self->model_objects = gem_model_objects_new(self, self->objects);
  self->sessions = gem_sessions_new(self, self->requests, error);
  if (self->sessions == NULL) {
    return FALSE;
  }
  self->loads = gem_model_loads_new(self);
  self->jobs = gem_bus_jobs_new(self->connection, self->work, error);
  if (self->jobs == NULL) {
    return FALSE;
  }
  self->learned = gem_learned_new(self->config, self->jobs, self->work);
  return TRUE;
}

GemService *
gem_service_new(GDBusConnection *connection,
                GemConfig *config,
                const GemServiceEvents *events,
                gpointer data,
                GError **error)
{
  g_autoptr(GemService) self = g_new0(GemService, 1);

  self->connection = g_object_ref(connection);
  self->config = gem_config_ref(config);
  self->events = events;
  self->data = data;
  self->untold = g_array_new(FALSE, FALSE, sizeof(Waiting));
  self->guard = gem_descriptors_guard(connection);
  self->statistics = gem_statistics_new();
  self->callers = gem_callers_new(connection);
  self->idle = gem_idle_new(connection, on_idle, self);
  self->work = gem_work_new(self->idle, on_no_work, self);
  self->stop = g_cancellable_new();
  self->asks = gem_call_queue_new(GEM_QUEUE_ASKS, config->parallel_asks, config->ask_seconds);
  self->holds = gem_holds_new();
  self->queue = gem_call_queue_new(GEM_QUEUE_CALLS, PARALLEL_CALLS, config->ask_seconds);
  if (!service_export_root(self, error)) {
    return NULL;
  }
  self->closed = g_signal_connect(connection, "closed", G_CALLBACK(on_closed), self);
  self->model = gem_model_host_new(config);
  gem_idle_inhibit(self->idle, GEM_IDLE_LOADING);
  gem_model_host_when_settled(self->model, on_settled, self);
  self->memory = gem_memory_new(self);
  service_apply_idle(self);
  self->name = g_bus_own_name_on_connection(connection, GEM_BUS_NAME, G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE,
                                            on_name_acquired, on_name_lost, self, NULL);
  return g_steal_pointer(&self);
}

void
gem_service_free(GemService *self)
{
  self->stopping = TRUE;
  self->ended = TRUE;
  g_cancellable_cancel(self->stop);
  g_clear_handle_id(&self->name, g_bus_unown_name);
  g_clear_handle_id(&self->drain, g_source_remove);
  g_clear_handle_id(&self->finish, g_source_remove);
  g_clear_signal_handler(&self->closed, self->connection);
  if (self->guard != 0) {
    g_dbus_connection_remove_filter(self->connection, self->guard);
  }
  /* When the bus was lost nobody stopped the service: calls may still wait. */
  service_settle_untold(self);
  gem_call_queue_run_all(self->queue);
  gem_call_queue_run_all(self->asks);
  g_clear_pointer(&self->memory, gem_memory_free);
  /* Who still waits for the model is told while it is there to be asked. */
  if (self->model != NULL) {
    gem_model_host_stop(self->model);
  }
  g_clear_pointer(&self->loads, gem_model_loads_free);
  g_clear_pointer(&self->learned, gem_learned_free);
  g_clear_pointer(&self->jobs, gem_bus_jobs_free);
  g_clear_pointer(&self->model, gem_model_host_free);
  g_clear_pointer(&self->sessions, gem_sessions_free);
  g_clear_pointer(&self->callers, gem_callers_free);
  g_clear_pointer(&self->holds, gem_holds_free);
  g_clear_pointer(&self->requests, gem_requests_free);
  g_clear_pointer(&self->asks, gem_call_queue_free);
  g_clear_pointer(&self->queue, gem_call_queue_free);
  g_clear_pointer(&self->statistics, gem_statistics_free);
  g_clear_pointer(&self->work, gem_work_free);
  g_clear_object(&self->stop);
  g_clear_pointer(&self->idle, gem_idle_free);
  g_clear_pointer(&self->model_objects, gem_model_objects_free);
  g_clear_object(&self->objects);
  g_clear_pointer(&self->models, gem_model_list_free);
  if (self->manager != NULL) {
    g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(self->manager));
    g_clear_object(&self->manager);
  }
  g_object_unref(self->connection);
  gem_config_unref(self->config);
  g_array_unref(self->untold);
  g_free(self);
}

/* ---- what the objects share ---- */

GDBusConnection *
gem_service_get_connection(GemService *self)
{
  return self->connection;
}

const GemConfig *
gem_service_get_config(GemService *self)
{
  return self->config;
}

GemCallers *
gem_service_get_callers(GemService *self)
{
  return self->callers;
}

GemModelHost *
gem_service_get_model(GemService *self)
{
  return self->model;
}

GemEngine *
gem_service_get_engine(GemService *self)
{
  return gem_model_host_get_engine(self->model);
}

GemMemory *
gem_service_get_memory(GemService *self)
{
  return self->memory;
}

GemStatistics *
gem_service_get_statistics(GemService *self)
{
  return self->statistics;
}

GemSessions *
gem_service_get_sessions(GemService *self)
{
  return self->sessions;
}

GemBusJobs *
gem_service_get_jobs(GemService *self)
{
  return self->jobs;
}

GemModelLoads *
gem_service_get_loads(GemService *self)
{
  return self->loads;
}

GemLearned *
gem_service_get_learned(GemService *self)
{
  return self->learned;
}

GemCallQueue *
gem_service_get_asks(GemService *self)
{
  return self->asks;
}

GemCallQueue *
gem_service_get_queue(GemService *self)
{
  return self->queue;
}

GemHolds *
gem_service_get_holds(GemService *self)
{
  return self->holds;
}

GemIdle *
gem_service_get_idle(GemService *self)
{
  return self->idle;
}

GemWork *
gem_service_get_work(GemService *self)
{
  return self->work;
}

GCancellable *
gem_service_get_stop(GemService *self)
{
  return self->stop;
}

gboolean
gem_service_is_stopping(GemService *self)
{
  return self->stopping;
}
