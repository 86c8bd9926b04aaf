/* Asks what a plan has left to ask. */
#pragma once

#include "bench/edge/gem-edge-energy.h"
#include "bench/edge/gem-edge-state.h"

typedef struct {
  guint in_flight;  /* questions at a time */
  guint max_tokens; /* of an answer */
} GemEdgeRunOptions;

/* Fills the plan; every answer goes to the state at once. Errors: the first of the service; CANCELLED after
 * Ctrl-C, when what was asked has been answered. */
gboolean
gem_edge_run(GemEdgePlan *plan,
             GemEdgeAsker *asker,
             GemEdgeState *state,
             GemEdgeEnergy *energy,
             const GemEdgeRunOptions *options,
             GError **error);
