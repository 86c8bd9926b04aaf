/* All questions of a run, in the order in which they are asked, and their answers. The same tasks, domains
 * and numbers give the same plan, so that a question is known by its place. */
#pragma once

#include "bench/edge/gem-edge-suite.h"
#include "bench/questions/gem-edge-ask.h"

/* In the place of a pathway's number: as the service routes. The suite's domains are numbers 0 to n - 1, and
 * n is the general part alone. */
#define GEM_EDGE_ROUTED (-1)

/* Lines of each task whose inputs are scored and routed, for perplexity and shares of pathways. */
#define GEM_EDGE_READ_LINES 10u

typedef struct {
  guint task, line; /* places in the suite, and in the task's lines */
  gint pathway;
  GemEdgeKind kind;
  gboolean done;
  GemEdgeReply reply; /* once it is done */
} GemEdgeItem;

typedef struct {
  const GemEdgeSuite *suite;
  GArray *items; /* of GemEdgeItem */
  guint transfer_limit, seed;
} GemEdgePlan;

/* `domains`: of the model; a domain of the suite that it lacks is never forced. `transfer_limit`: lines of
 * each task, drawn by `seed`, that run through every pathway; 0: none. */
GemEdgePlan *
gem_edge_plan_new(const GemEdgeSuite *suite, const char *const *domains, guint transfer_limit, guint seed);
void
gem_edge_plan_free(GemEdgePlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgePlan, gem_edge_plan_free)

/* The name of a pathway's number; NULL for GEM_EDGE_ROUTED. */
const char *
gem_edge_plan_get_pathway(const GemEdgePlan *self, gint pathway);

/* The items of a task with this pathway that are questions of the task itself (CHOOSE or WRITE) or, with
 * `read`, of its inputs (SCORE), and are done: array of const GemEdgeItem *. */
GPtrArray *
gem_edge_plan_select(const GemEdgePlan *self, guint task, gint pathway, gboolean read);
