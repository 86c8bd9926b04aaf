/* Parts of gem_edge_result_new. */
#pragma once

#include "bench/edge/gem-edge-result.h"

/* in, out, GG and DSI of domain `own` in a row of scores by domain [n]; out is the mean of the others. */
GemEdgeSpan
gem_edge_span(const double *row, guint n, guint own);

/* What runs through forced pathways: of tasks, the matrices, of domains. NAN all over without transfer. */
void
gem_edge_result_force(GemEdgeResult *self);

/* Perplexity of the domains' inputs. */
void
gem_edge_result_read(GemEdgeResult *self);
