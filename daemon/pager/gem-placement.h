/*
 * Where a pathway runs: on the backend that does everything, or on a device that takes pathways whole
 * (GemBackendFunctions.compile), whichever is faster, as measured once for each pathway: for single rows, as
 * tokens that are written are, and for blocks, as texts are read. Where both are faster on one side, it is
 * all there; else the pathway is in memory on both, and each row goes where it is faster. A row goes by what
 * its own sequence gave, and never by who is beside it in a step: each side gives something else, if only a
 * little, and an answer would depend on the neighbours.
 *
 * A pathway always comes in on the backend that does everything, and serves there. Meanwhile a thread
 * compiles it for the device, which may take long, and runs it there for the first time; one pathway after
 * the other, so that none is measured while another is compiled. Between two steps of the model what both
 * sides give is compared, once in each life of the service, and the time they take is measured. What came out
 * is kept (gem-placement-decisions.h). A device that hangs or brings the process down does so in that thread,
 * while a mark stands in the file of decisions: a mark that an earlier service left means that the device is
 * left alone.
 *
 * All functions are for the engine thread.
 */
#pragma once

#include "daemon/pager/gem-placement-decisions.h"
#include "daemon/plugin/gem-backend-set.h"
#include "format/gem-gguf.h"
#include "format/gem-manifest.h"

typedef struct GemPlacement GemPlacement;

typedef struct {
  const char *backend;         /* name of that which does everything */
  const char *device_name;     /* of the next */
  const GemBackend *device;    /* NULL: there is none, and nothing here does anything */
  const char *device_identity; /* all that decisions depend on but the weights, as text */
  GemManifest *manifest;       /* has the hash of each file of weights; NULL: there is none */
  const char *model;           /* its name, for files without a hash */
  const char *cache_dir;       /* where decisions are kept; NULL: nowhere */
  gboolean forced; /* the administrator chose the device: whatever holds there runs there, faster or not */
} GemPlacementOptions;

/* What is pointed to outlives it. */
GemPlacement *
gem_placement_new(const GemPlacementOptions *options, const GemPluginLoader *loader, const GemShape *shape);
/* Waits a few seconds for what is compiled. FALSE: it still is, by a device that hangs perhaps; then this,
 * and all that was given to gem_placement_new, the modules' loader and the device too, must stay in memory.
 */
gboolean
gem_placement_free(GemPlacement *self);

/* Whether gem_placement_begin may do anything for that pathway. */
gboolean
gem_placement_may_begin(const GemPlacement *self, const char *name);
/* The administrator chose it. */
gboolean
gem_placement_is_forced(const GemPlacement *self);
/* Waits until the next pathway may be finished, or none is on its way. FALSE: time (monotonic, us) is up. */
gboolean
gem_placement_wait(GemPlacement *self, gint64 until);

/* What is known of a pathway, [GEM_PLACEMENT_COUNTS]; NULL: it was never measured. Valid until it is
 * measured, or free. */
const GemPlacementDecision *
gem_placement_get_decisions(const GemPlacement *self, const char *name);

/* The name of the backend that a pathway runs on. */
const char *
gem_placement_get_backend(const GemPlacement *self, gboolean on_device);

/* A pathway on the device. */
typedef struct {
  GemPluginModule *module;
  const GemPathwayFunctions *functions;
  GemPathway *pathway;
  gboolean takes_rows; /* single rows go there */
  guint least_rows;    /* and calls of so many rows, at least 2; G_MAXUINT: none */
} GemPlacedPathway;

/* Whether a call of `n` rows goes there; whether any of more than one does; whether all do. */
gboolean
gem_placed_pathway_takes(const GemPlacedPathway *self, guint n);
gboolean
gem_placed_pathway_takes_blocks(const GemPlacedPathway *self);
gboolean
gem_placed_pathway_takes_all(const GemPlacedPathway *self);
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

/* Whether it may be finished. */
gboolean
gem_placing_is_done(GemPlacing *self);
/* Takes over `placing` and compares with the pathway as it runs now. NULL: all of it stays, and the log says
 * why if the device failed. */
GemPlacedPathway *
gem_placement_finish(GemPlacement *self,
                     GemPlacing *placing,
                     const GemPathwayFunctions *functions,
                     GemPathway *pathway);
/* The device failed while it ran that pathway: it is not tried again, until the next is called. */
void
gem_placement_give_up(GemPlacement *self, const char *name);
/* Something may be other than it was: pathways that were given up may begin again. */
void
gem_placement_try_again(GemPlacement *self);
