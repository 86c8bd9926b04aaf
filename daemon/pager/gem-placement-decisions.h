/*
 * Where pathways run, as measured, for calls of one row (a token that is written) and of a block (a text that
 * is read); kept in a file of the cache folder by pathway, rows, the hash of its weights, and what is known
 * of the device: provider, driver, their versions.
 */
#pragma once

#include <glib.h>

#include "daemon/pager/gem-pathway-info.h"

/* Rows of the block. */
#define GEM_PLACEMENT_BLOCK 64u

typedef enum { GEM_PLACEMENT_OF_ROW, GEM_PLACEMENT_OF_BLOCK, GEM_PLACEMENT_COUNTS } GemPlacementCount;
G_STATIC_ASSERT(GEM_PLACEMENT_COUNTS == GEM_PATHWAY_PLACES);

/* 1 or GEM_PLACEMENT_BLOCK. */
guint
gem_placement_rows(GemPlacementCount count);

typedef struct {
  gboolean device;      /* it is better off there */
  double us, device_us; /* that all its layers take, on the backend that does everything and on the device */
} GemPlacementDecision;

/* All functions on files may be called from any thread, and by several engines of a process. */

/* FALSE: it was never measured, or what is kept cannot be read. `identity`: of weights and device. */
gboolean
gem_placement_decisions_load(const char *path,
                             const char *name,
                             const char *identity,
                             GemPlacementDecision ret_decisions[GEM_PLACEMENT_COUNTS]);
/* A file that cannot be written costs another measurement, and nothing else. */
void
gem_placement_decisions_save(const char *path,
                             const char *name,
                             const char *identity,
                             const GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS]);

/* While a pathway is tried on a device for the first time a mark stands in the file: a service that did not
 * come back from it finds it when it starts again. An exit of the process takes
 * its marks away, but for those of the thread that brings it about: that is the device's. `who` tries,
 * and nobody else has that name: two engines may be at it at once, while one model hands over to the next. */
void
gem_placement_decisions_mark(const char *path, const char *who, const char *device, const char *name);
/* Its own. */
void
gem_placement_decisions_unmark(const char *path, const char *who);
/* The pathway of some mark that another process left for that device. Transfer full; NULL: there is none. */
char *
gem_placement_decisions_find_mark(const char *path, const char *device);

/* The fewest rows for which a block on the device is the faster one, which costs there what a full one does;
 * more than a block where it never is. At least 2. */
guint
gem_placement_least_rows(const GemPlacementDecision *block);
