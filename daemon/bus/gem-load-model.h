/*
 * Manager.LoadModel: another model takes the place of the one that is served. It is loaded on a thread and
 * must answer first; until then, and when that fails, the old one serves. One at a time.
 */
#pragma once

#include "daemon/bus/gem-call.h"

typedef struct _GemModelLoads GemModelLoads;

GemModelLoads *
gem_model_loads_new(GemService *service);
void
gem_model_loads_free(GemModelLoads *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelLoads, gem_model_loads_free)

/* Manager.LoadModel: a GemCallRun of a plain call. */
void
gem_load_model_run(GemCall *call);
/* Fails the one that runs with GEM_ERROR_SHUTTING_DOWN, when the service stops. */
void
gem_model_loads_stop(GemModelLoads *self);
