/* Gradients against central differences, in single precision, on shapes small enough for that. */
#pragma once

#include "training/network/gem-parameters.h"
#include "training/text/gem-batch.h"

/* The loss at `values`; its gradient is added when `gradients` is not NULL. */
typedef double (*GemTestLoss)(gpointer data, const float *values, float *gradients);

/* Each tensor along its own gradient (the largest slope) and along directions by chance. Fails the test, with
 * the tensor's name, where they differ. */
void
gem_test_check_gradients(GemTestLoss loss, gpointer data, const GemParameters *parameters, float *values);

/* Three sequences of different lengths; tokens routed one by one, with weights that differ. Transfer full. */
GemBatch *
gem_test_mixed_batch_new(guint vocab, guint n_domains);
