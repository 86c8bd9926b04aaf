/*
 * Continuations of texts, whose keys and values are computed once: how choices after a prompt are weighed
 * against each other, for several prompts at a time, so that matrix products are large.
 */
#pragma once

#include "training/network/gem-backbone.h"
#include "training/text/gem-continuations.h"

/* Sum of log p over each continuation's tokens, in nats: logs[continuations]. Runs the sequences of `prompts`
 * and then what continues them; continuations->first has as many texts as there are sequences, and routes
 * [sequences] are those of each one's continuations. `pass` has to be one with a way back, so that it keeps
 * every layer. A text with its longest continuation has to fit the backbone's positions. */
void
gem_backbone_weigh(const GemBackbone *self,
                   const float *values,
                   const float *centroids,
                   int cluster_set,
                   const GemBatch *prompts,
                   GemBackbonePass *pass,
                   GemContinuations *continuations,
                   const gint8 *routes,
                   double *logs);
