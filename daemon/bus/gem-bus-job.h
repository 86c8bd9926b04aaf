/*
 * org.gemd.Gem1.Job: work that takes its time, as its caller sees it. What the work is stands in its kind;
 * nothing here knows a model. (The jobs of the engine thread are another thing: daemon/engine/gem-job.h.)
 */
#pragma once

#include "daemon/bus/gem-caller.h"
#include "daemon/bus/gem-work.h"

/* All jobs. They stand at /org/gemd/Gem1/job/NODE, each for its caller alone. */
typedef struct _GemBusJobs GemBusJobs;
typedef struct _GemBusJob GemBusJob;

typedef struct {
  const char *name; /* the property Kind */
  /* The caller gives the work up, or left and the kind does not outlive that: once, and only while it runs.
   * The work ends with gem_bus_job_cancel_done, now or later, or as it would have ended. */
  void (*cancel)(gpointer data);
  gboolean outlives_caller; /* goes on when the caller leaves the bus */
} GemBusJobKind;

/* Exports the tree of jobs. Connection and work outlive it; each job that runs is work. */
GemBusJobs *
gem_bus_jobs_new(GDBusConnection *connection, GemWork *work, GError **error);
/* None may run any more. */
void
gem_bus_jobs_free(GemBusJobs *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBusJobs, gem_bus_jobs_free)

/* A job that runs from now on. Borrowed: it stands until one of the ends below, which must come. `kind`
 * and `data` must outlive that. */
GemBusJob *
gem_bus_job_new(GemBusJobs *jobs, GemCaller *caller, const GemBusJobKind *kind, gpointer data);
/* The object's path. */
const char *
gem_bus_job_get_path(GemBusJob *self);
/* 0 to below 1; it never goes back. */
void
gem_bus_job_set_progress(GemBusJob *self, double progress);
/* What it is at: one of the few words of the XML. */
void
gem_bus_job_set_phase(GemBusJob *self, const char *phase);

/* The ends. `details` is an a{sv}, floating, and may be NULL for none. */
void
gem_bus_job_done(GemBusJob *self, GVariant *details);
/* It was carried through, and what came of it does not keep its bounds. */
void
gem_bus_job_refuse(GemBusJob *self, GVariant *details);
void
gem_bus_job_fail(GemBusJob *self, const GError *error);
void
gem_bus_job_cancel_done(GemBusJob *self);
