/* org.gemd.Gem1.Manager, at the root object. */
#pragma once

#include "dbus/gem-dbus-generated.h"

typedef struct _GemService GemService;

#define GEM_TYPE_MANAGER_OBJECT (gem_manager_object_get_type())
G_DECLARE_FINAL_TYPE(GemManagerObject, gem_manager_object, GEM, MANAGER_OBJECT, GemDBusManagerSkeleton)

GemManagerObject *
gem_manager_object_new(GemService *service);
/* Tells the state of the model, and what the model is, in the properties. */
void
gem_manager_object_update(GemManagerObject *self);
