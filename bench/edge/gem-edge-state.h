/* What a run has so far, kept in a file of JSON lines, so that one that was ended goes on: first what was
 * run, then an answer a line as they come, and samples of the service between them. The file has what the
 * model wrote. */
#pragma once

#include "bench/edge/gem-edge-plan.h"

/* What was seen since the sample before. */
typedef struct {
  double seconds;
  double joules;                                      /* NAN: the machine does not tell */
  guint64 resident, process;                          /* bytes, at its end; 0: not told */
  gint64 page_ins, page_in_failures, degraded_tokens; /* -1: not told */
  gint64 tokens;                                      /* run through the model; -1: not told */
} GemEdgeSample;

typedef struct _GemEdgeState GemEdgeState;

/* Opens the file, or makes it, and fills the plan's items with what stands there; a line that was cut short
 * by the end of a run is dropped. `identity`: names and values in turn, NULL at the end, of all that must be
 * the same. `path` NULL: nothing is kept. Errors: of the file, with the line; INVALID_DATA, naming what
 * differs, for one of another run. */
GemEdgeState *
gem_edge_state_open(const char *path, const char *const *identity, GemEdgePlan *plan, GError **error);
void
gem_edge_state_free(GemEdgeState *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeState, gem_edge_state_free)

/* Of GemEdgeSample: those that stood in the file, and those since. */
const GArray *
gem_edge_state_get_samples(const GemEdgeState *self);

/* Both are in the file when they return. */
gboolean
gem_edge_state_add_reply(GemEdgeState *self, guint index, const GemEdgeReply *reply, GError **error);
gboolean
gem_edge_state_add_sample(GemEdgeState *self, const GemEdgeSample *sample, GError **error);
