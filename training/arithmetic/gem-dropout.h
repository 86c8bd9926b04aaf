/*
 * Dropout: a share of the values, by chance, is 0, and the others are so much larger that the mean stays.
 * What is dropped is a function of the seed, the place and the value's index alone, so that the way back
 * finds the same again without a mask that is kept.
 */
#pragma once

#include <glib.h>

typedef struct {
  double share; /* of the values that are dropped: 0 (none) to less than 1 */
  guint64 seed;
} GemDropout;

/* The values x[n] of `place`, a number that no other array of the pass has: forward the values, back their
 * gradients. */
void
gem_dropout_apply(const GemDropout *self, guint place, float *x, gsize n);
