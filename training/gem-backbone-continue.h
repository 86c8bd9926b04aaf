/*
 * Several continuations of one text, whose keys and values are computed once: how choices after one prompt
 * are weighed against each other.
 */
#pragma once

#include "training/gem-backbone.h"

typedef struct {
  const guint32 *tokens; /* [start[n]] of all continuations, one after another */
  const guint32 *start;  /* [n + 1], the first is 0 */
  gsize n;
  gint8 route; /* of all of their tokens */
} GemContinuations;

/* The normed states of the continuations' tokens, final[start[n]][width], after the one sequence `prompt`,
 * which `pass` (one with a way back, so that it has every layer) has just run forward with the same values,
 * centroids and set. The longest has to fit the backbone's positions after the prompt. */
void
gem_backbone_continue(const GemBackbone *self,
                      const float *values,
                      const float *centroids,
                      int cluster_set,
                      const GemBatch *prompt,
                      const GemBackbonePass *pass,
                      const GemContinuations *continuations,
                      float *final);

/* Sum of log p over each continuation's tokens, in nats: logs[n]. Runs the prompt, too. */
void
gem_backbone_weigh(const GemBackbone *self,
                   const float *values,
                   const float *centroids,
                   int cluster_set,
                   const GemBatch *prompt,
                   GemBackbonePass *pass,
                   const GemContinuations *continuations,
                   double *logs);
