/*
 * The objects that stand for the served model in the object manager: a Pathway for each domain, a Backend for
 * each module. They follow when another model is served.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/engine/gem-engine.h"

typedef struct _GemService GemService;
typedef struct _GemModelObjects GemModelObjects;

/* None yet. */
GemModelObjects *
gem_model_objects_new(GemService *service, GDBusObjectManagerServer *manager);
void
gem_model_objects_free(GemModelObjects *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelObjects, gem_model_objects_free)

/* Those of `engine`, which is served now: what both models have stays the same object. */
void
gem_model_objects_update(GemModelObjects *self, GemEngine *engine);
