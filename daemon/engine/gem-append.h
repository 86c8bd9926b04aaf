/*
 * New tokens of sequences, and the pathway that the router sends each of them to: decided once, when the
 * token is appended.
 */
#pragma once

#include "daemon/engine/gem-learned.h"
#include "daemon/engine/gem-sequence-state.h"

/* Turns that are appended together at most. */
#define GEM_APPEND_MOST 32

/* The rule of the router (arXiv 2503.22698, Dynamic Token Router): argmax of probabilities [n] when it is
 * over the threshold, else general. The first `domains` classes are the model's. One of the others, which
 * were learned here, takes a token so or leaves it as it was: then the model's classes are weighed among
 * themselves, since a class beside them takes from each one's probability, and would send to general what is
 * not its own. */
guint8
gem_route_choose(const float *probabilities, guint domains, guint n, float threshold);

/* How a turn is routed. */
typedef struct {
  gboolean forced;
  guint8 route; /* when forced */
  gboolean causal;
  gboolean degrade;        /* rows do not wait for a pathway that is absent */
  GemLearnedView *learned; /* what it may be routed to beside the model's domains; NULL: nothing. Borrowed */
} GemRouting;

/* Probabilities of a token that is routed so: those of the model's domains, then those of the learned ones.
 */
guint
gem_routing_count_classes(const GemRuntime *runtime, const GemRouting *routing);

/* One turn of n tokens. */
typedef struct {
  GemSequenceState *sequence;
  const guint32 *tokens;
  guint n;
  GemRouting routing;
  float
      *probabilities; /* [n][classes], filled; zeros, and the router is not asked, when the route is forced */
} GemAppend;

/* Appends turns of different sequences, 1..GEM_APPEND_MOST of them; the router reads its weights once for
 * all. Each turn has room in its sequence. FAILED when the router fails, CANCELLED when it
 * was told to give up, LIMIT_EXCEEDED as gem_router_memory_need (nothing is appended). */
gboolean
gem_append_all(GemRuntime *runtime, const GemAppend *appends, guint count, GError **error);

/* One turn; `probabilities` may be NULL. */
gboolean
gem_sequence_state_append(GemRuntime *runtime,
                          GemSequenceState *self,
                          const guint32 *tokens,
                          guint n,
                          const GemRouting *routing,
                          float *probabilities,
                          GError **error);
