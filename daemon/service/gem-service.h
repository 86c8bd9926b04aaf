/*
 * The service on the bus: the connection, the objects, the name, the model, and an orderly end. Everything
 * here lives on the main loop, which never blocks on a caller.
 */
#pragma once

#include "daemon/bus/gem-bus-job.h"
#include "daemon/bus/gem-caller.h"
#include "daemon/bus/gem-idle.h"
#include "daemon/bus/gem-work.h"
#include "daemon/learned/gem-learned.h"
#include "daemon/service/gem-ask.h"
#include "daemon/service/gem-call-queue.h"
#include "daemon/service/gem-holds.h"
#include "daemon/service/gem-load-model.h"
#include "daemon/service/gem-memory.h"
#include "daemon/service/gem-model-host.h"
#include "daemon/service/gem-session.h"
#include "daemon/service/gem-statistics.h"

typedef struct _GemService GemService;

typedef struct {
  void (*ready)(gpointer data);   /* the name is owned */
  void (*settled)(gpointer data); /* the model is ready, or failed; again when another one is served */
  /* It ends because nobody needs it, and wants to give its name away: who starts it again is told first, then
   * comes gem_service_leave. */
  void (*leaving)(gpointer data);
  /* The end: after gem_service_stop, or (`error` set) because the name or the bus was lost. Once. */
  void (*ended)(const GError *error, gpointer data);
} GemServiceEvents;

/* Exports the objects, asks for the name and starts loading. `events` must outlive the service. */
GemService *
gem_service_new(GDBusConnection *connection,
                GemConfig *config,
                const GemServiceEvents *events,
                gpointer data,
                GError **error);
void
gem_service_free(GemService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemService, gem_service_free)

/* Refuses new work, ends what runs with reason `shutdown`, lets streams drain for a second, then `ended`.
 * Idempotent. */
void
gem_service_stop(GemService *self);

/* After `leaving`: who starts the service again knows. */
void
gem_service_leave(GemService *self);

/* What the configuration says now is heeded: of the engine's memory, of an idle service's end, and, when it
 * was read again, which model is wanted (`model_changed`: another than before). */
void
gem_service_reload_config(GemService *self, gboolean model_changed);

/* Objects and properties tell the model that is served now, or why there is none; so does the journal. */
void
gem_service_show_model(GemService *self);

/* What the objects share; borrowed. */
GDBusConnection *
gem_service_get_connection(GemService *self);
const GemConfig *
gem_service_get_config(GemService *self);
GemCallers *
gem_service_get_callers(GemService *self);
GemModelHost *
gem_service_get_model(GemService *self);
GemEngine *
gem_service_get_engine(GemService *self); /* NULL unless the model is ready */
GemMemory *
gem_service_get_memory(GemService *self);
GemStatistics *
gem_service_get_statistics(GemService *self);
GemSessions *
gem_service_get_sessions(GemService *self);
GemBusJobs *
gem_service_get_jobs(GemService *self);
GemModelLoads *
gem_service_get_loads(GemService *self);
GemLearned *
gem_service_get_learned(GemService *self);
GemCallQueue *
gem_service_get_asks(GemService *self);
GemCallQueue *
gem_service_get_queue(GemService *self);
GemHolds *
gem_service_get_holds(GemService *self);
GemIdle *
gem_service_get_idle(GemService *self);
GemWork *
gem_service_get_work(GemService *self);
/* Cancelled when the service begins to stop; never for a call over the bus, as GemCaller's `bye`. */
GCancellable *
gem_service_get_stop(GemService *self);
gboolean
gem_service_is_stopping(GemService *self);
/* Whether what a call would leave behind has a future: FALSE, with GEM_ERROR_SHUTTING_DOWN, once the service
 * leaves its name because it was idle. Calls that end with their answer are served even then. */
gboolean
gem_service_check_staying(GemService *self, GError **error);

/* Calls `done` when it is known whether the service stays: at once, but for the moment between `leaving` and
 * gem_service_leave. What comes then would find neither this service's end nor the next one's beginning. */
void
gem_service_when_told(GemService *self, void (*done)(gpointer data), gpointer data);
