/* EdgeBench's suite in a folder, and a stand-in that answers by the tests' rules. */
#pragma once

#include "bench/edge/gem-edge-run.h"

/* Right in pathway "legal", and without one; elsewhere label 0, and "wrong". A text costs 1 nat a token with
 * its router's choice, 2 with pathway "legal", 3 with any other. */
typedef struct {
  GemEdgeAsker base;
  guint asked;
  guint interrupt_at; /* sends SIGINT with this question; 0: never */
  guint fail_at;      /* fails with this question; 0: never */
} GemTestEdgeStand;

void
gem_test_edge_stand_init(GemTestEdgeStand *self);

/* A fixture: tasks legal/pick, stem/find, stem/list and stem/tell with dev lines; where a state may be kept.
 */
typedef struct {
  char *folder, *state;
  GemEdgeEnergy *energy;
} GemTestEdge;

void
gem_test_edge_set_up(GemTestEdge *self, gconstpointer data);
void
gem_test_edge_tear_down(GemTestEdge *self, gconstpointer data);

/* The suite's dev lines; `tasks` as in GemEdgeWish. */
GemEdgeSuite *
gem_test_edge_read_suite(const GemTestEdge *self, const char *tasks, GError **error);

/* The model's domains; what a run is told from others by; two questions at a time. */
extern const char *const gem_test_edge_domains[];
extern const char *const gem_test_edge_identity[];
extern const GemEdgeRunOptions gem_test_edge_in_pairs;
