/* How well the model predicts texts on the router's own routes. These are causal, so that nothing looks
 * ahead; the result does not depend on the number of lanes. */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"
#include "training/adapt/gem-adapt-text.h"
#include "training/gem-lanes.h"

typedef struct {
  double loss;  /* of all targets, in nats */
  gsize tokens; /* targets */
  gsize own;    /* tokens that were routed to the learned domain */
  gsize read;   /* tokens */
} GemAdaptSums;

double
gem_adapt_sums_perplexity(const GemAdaptSums *self); /* 1 when there are no tokens */

/* ret_sums[group of each text]. row[width + 1] of a learned domain; NULL: the model as it is. `share` is told
 * how much of it is done, on any lane. CANCELLED. */
gboolean
gem_adapt_measure(const GemAdaptModel *model,
                  const GArray *texts,
                  const float *row,
                  GemLanes *lanes,
                  GCancellable *cancellable,
                  void (*share)(double share, gpointer data),
                  gpointer data,
                  GemAdaptSums *ret_sums,
                  gsize n_groups,
                  GError **error);
