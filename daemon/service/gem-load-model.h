/*
 * Another model takes the place of the one that is served, since Manager.LoadModel or a configuration that
 * was read again wants it. It is loaded on a thread and must answer first; until then, and when that fails,
 * the old one serves. One at a time.
 */
#pragma once

#include "daemon/service/gem-call.h"

typedef struct _GemModelLoads GemModelLoads;

GemModelLoads *
gem_model_loads_new(GemService *service);
void
gem_model_loads_free(GemModelLoads *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelLoads, gem_model_loads_free)

/* Manager.LoadModel: a GemCallRun of a plain call. */
void
gem_load_model_run(GemCall *call);
/* The configuration was read again. When it names another model than before (`changed`), or one that could
 * not be loaded when it was named, that is loaded: after what is loaded now, and not when it is served
 * already. */
void
gem_model_loads_reload(GemModelLoads *self, gboolean changed);
/* Pathways are tried again on the device that refused them. When a device can be used now that could not when
 * the model was loaded, the configured one is loaded anew and takes over. */
void
gem_model_loads_look_for_devices(GemModelLoads *self);
/* Fails the one that runs with GEM_ERROR_SHUTTING_DOWN, when the service stops. */
void
gem_model_loads_stop(GemModelLoads *self);
