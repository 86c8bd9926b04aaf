/* What others reach on the tasks, from the JSON of earlier runs of other models (docs/edgebench-format.md),
 * or of gem-bench baseline, whose linear models are each of one task alone. */
#pragma once

#include "bench/edge/gem-edge-spread.h"
#include "bench/edge/gem-edge-suite.h"

typedef struct {
  char *model;       /* names, ", " between them; "linear" */
  GHashTable *tasks; /* "DOMAIN/NAME" -> GemEdgeScore *, F1 */
} GemEdgeSpecialist;

/* `paths`: one at least, NULL at the end; of a task that several have, the best F1 counts. A linear model's
 * is of all lines of the split, whichever `wish` draws. Errors: of a file; INVALID_DATA, naming it, for what
 * is neither, or a run of other lines than `wish` draws. */
GemEdgeSpecialist *
gem_edge_specialist_read(const char *const *paths, const GemEdgeWish *wish, GError **error);
void
gem_edge_specialist_free(GemEdgeSpecialist *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeSpecialist, gem_edge_specialist_free)

/* F1 of a task; NAN without specialist (`self` may be NULL) or without this task. */
GemEdgeScore
gem_edge_specialist_get(const GemEdgeSpecialist *self, const char *task);

/* What 1 on the scale is: the specialist's F1, NAN where it is not above chance by two of its standard
 * errors, since a score divided by such a difference says nothing. */
double
gem_edge_specialist_top(GemEdgeScore specialist, double chance);
