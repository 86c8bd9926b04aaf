/*
 * Choices as whole texts: each is scored by the mean log likelihood of its tokens after the prompt, and the
 * right one is to be told from the others (docs/training.md, "Contests").
 */
#pragma once

#include "training/network/gem-backbone-internal.h"

/* What the difference of two means is multiplied with before it is taken for a difference of logits: 1 nat a
 * token makes odds of e^4. */
#define GEM_CONTEST_SHARPNESS 4.0

/* Adds to weights[batch->n] what each token of the batch's contests weighs: the gradient of
 * sum(weight * -log P(right)) by the token's -log p, so that the cross-entropy of these tokens under these
 * weights has the gradient of the contests. Negative for tokens of a choice that is not right. Returns that
 * sum. Uses pass->logits. */
double
gem_backbone_weigh_contests(const GemBackbone *self,
                            const float *values,
                            const GemBatch *batch,
                            GemBackbonePass *pass,
                            float *weights);
