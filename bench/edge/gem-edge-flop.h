/* Floating-point operations of a token, from the shape of a model: a multiply-add is two. */
#pragma once

#include "format/gem-model-shape.h"

typedef struct {
  double general; /* of every token: attention's matrices, nearest centroids, feed-forward, output */
  double router;  /* of every token */
  double pathway; /* of a token that a domain's pathway runs, beside general */
} GemEdgeFlop;

/* In words, for reports. */
#define GEM_EDGE_FLOP_FORMULA                                                                                \
  "2 for each weight that a token is multiplied with: general L (2 D H h + 2 D K h + 3 D F + C D) + V D, "   \
  "router E W where E differs from W, and L' (4 W W + 2 W F') + N W, pathway 3 L D P; a written token's "    \
  "output matrix is counted for every token, and the scores of attention, which grow with the text, for "    \
  "none"

/* `router` NULL: there is none. `clusters`: of SCAR, as the model runs; 0 for dense attention. */
GemEdgeFlop
gem_edge_flop_count(const GemModelShape *shape, const GemRouterShape *router, guint clusters);

/* The same of the model in a folder. Errors: of its files. */
gboolean
gem_edge_flop_read(const char *path, GemEdgeFlop *ret_flop, char **ret_name, GError **error);
