/*
 * Where a pathway runs: on the backend that does everything, or on a device that takes pathways whole
 * (GemBackendFunctions.compile), whichever is faster, as measured once for each pathway.
 *
 * A pathway always comes in on the backend that does everything, and serves there. Meanwhile a thread of its
 * own compiles it for the device, which may take long; between two steps of the model both are then compared,
 * in what they give and in the time they take for single rows and for blocks, and the better one stays. What
 * came out is kept in the cache folder by the hash of the model, the provider and its version.
 *
 * All functions are for the engine thread.
 */
#pragma once

#include "daemon/engine/gem-backend-set.h"
#include "format/gem-gguf.h"

/* Rows of the block that is measured beside single rows. */
#define GEM_PLACEMENT_BLOCK 64u

typedef struct GemPlacement GemPlacement;

typedef struct {
  const char *backend;         /* name of that which does everything */
  const char *device_name;     /* of the next */
  const GemBackend *device;    /* NULL: there is none, and nothing here does anything */
  const char *device_identity; /* backend, provider and versions */
  const char *model_identity;  /* of the weights */
  const char *cache_dir;       /* where decisions are kept; NULL: nowhere */
  gboolean forced; /* the administrator chose the device: whatever holds there runs there, at once */
} GemPlacementOptions;

/* What is pointed to outlives it. */
GemPlacement *
gem_placement_new(const GemPlacementOptions *options, const GemPluginLoader *loader, const GemShape *shape);
/* Waits for what is compiled. */
void
gem_placement_free(GemPlacement *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPlacement, gem_placement_free)

/* The name of the backend that a pathway runs on. */
const char *
gem_placement_get_backend(const GemPlacement *self, gboolean on_device);

/* A pathway on the device. */
typedef struct {
  GemPluginModule *module;
  const GemPathwayFunctions *functions;
  GemPathway *pathway;
} GemPlacedPathway;

void
gem_placed_pathway_free(GemPlacedPathway *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPlacedPathway, gem_placed_pathway_free)

/* One pathway's way to the device. */
typedef struct GemPlacing GemPlacing;

/* A pathway has come in: begins to compile it for the device. NULL: it stays where it is. */
GemPlacing *
gem_placement_begin(GemPlacement *self, const char *name, GemGguf *file);
/* It went out again, or moved: what is still being compiled is freed when it is done. */
void
gem_placing_abandon(GemPlacing *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPlacing, gem_placing_abandon)

/* Whether gem_placing_finish would not wait. */
gboolean
gem_placing_is_done(GemPlacing *self);
/* Takes over `placing` and compares with the pathway as it runs now. NULL: it stays, and the log says why if
 * the device failed. */
GemPlacedPathway *
gem_placement_finish(GemPlacement *self,
                     GemPlacing *placing,
                     const GemPathwayFunctions *functions,
                     GemPathway *pathway);
/* The device failed while it ran that pathway: it is not tried again. */
void
gem_placement_give_up(GemPlacement *self, const char *name);
