/* org.gemd.Gem1.Pathway: one object for `general` and for each domain. */
#pragma once

#include "daemon/engine/gem-engine.h"
#include "dbus/gem-dbus-generated.h"

typedef struct _GemService GemService;

#define GEM_TYPE_PATHWAY_OBJECT (gem_pathway_object_get_type())
G_DECLARE_FINAL_TYPE(GemPathwayObject, gem_pathway_object, GEM, PATHWAY_OBJECT, GemDBusPathwaySkeleton)

/* The model must be ready; `domain` is "general" or one of its domains. */
GemPathwayObject *
gem_pathway_object_new(GemService *service, const char *domain);
/* Another model is served, which has its domain too. */
void
gem_pathway_object_update(GemPathwayObject *self);
