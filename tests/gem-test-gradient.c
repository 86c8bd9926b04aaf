#include "tests/gem-test-gradient.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"

/* Along a direction in one tensor: (L(w + h d) - L(w - h d)) / 2 h against the gradient's component; `floor`
 * is the noise of the differences. */
static void
check_direction(GemTestLoss function,
                gpointer data,
                float *values,
                const float *gradients,
                const GemParameter *parameter,
                const float *direction)
{
  gsize size = parameter->rows * parameter->cols;
  g_autofree float *kept = g_memdup2(values + parameter->offset, size * sizeof(float));
  double norm = 0.0, expected = 0.0;
  for (gsize i = 0; i < size; i++) {
    norm += (double)direction[i] * (double)direction[i];
    expected += (double)direction[i] * (double)gradients[parameter->offset + i];
  }
  norm = sqrt(norm);
  g_assert_cmpfloat(norm, >, 0.0);
  expected /= norm;
  const double step = 3e-3; /* smaller ones drown in the rounding of losses of a hundred nats */
  double sides[2];
  for (int side = 0; side < 2; side++) {
    double h = (side == 0 ? step : -step) / norm;
    for (gsize i = 0; i < size; i++) {
      values[parameter->offset + i] = kept[i] + (float)(h * (double)direction[i]);
    }
    sides[side] = function(data, values, NULL);
  }
  memcpy(values + parameter->offset, kept, size * sizeof(float));
  double measured = (sides[0] - sides[1]) / (2.0 * step);
  double error = fabs(measured - expected) / (fabs(expected) + fabs(measured) + 0.2);
  if (error > 0.02) {
    g_test_message("%s: gradient %.6f, measured %.6f", parameter->name, expected, measured);
    g_test_fail();
  }
}

void
gem_test_check_gradients(GemTestLoss function, gpointer data, const GemParameters *parameters, float *values)
{
  g_autofree float *gradients = g_new0(float, parameters->size);
  function(data, values, gradients);
  GemRandom random = gem_random_seeded(7, 7);
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    gsize size = parameter->rows * parameter->cols;
    g_assert_cmpfloat(gradients[parameter->offset + size / 2], ==, gradients[parameter->offset + size / 2]);
    check_direction(function, data, values, gradients, parameter, gradients + parameter->offset);
    for (int round = 0; round < 2; round++) {
      g_autofree float *direction = g_new(float, size);
      for (gsize j = 0; j < size; j++) {
        direction[j] = (float)gem_random_normal(&random);
      }
      check_direction(function, data, values, gradients, parameter, direction);
    }
  }
}

GemBatch *
gem_test_mixed_batch_new(guint vocab, guint n_domains)
{
  const guint lengths[] = {13, 1, 22};
  GemBatch *batch = gem_batch_new(64);
  GemRandom random = gem_random_seeded(3, 1);
  for (gsize s = 0; s < G_N_ELEMENTS(lengths); s++) {
    guint32 tokens[32];
    for (guint i = 0; i < lengths[s]; i++) {
      tokens[i] = (guint32)gem_random_below(&random, vocab);
    }
    gem_batch_append(batch, tokens, lengths[s], GEM_ROUTE_GENERAL, 1.0f);
    batch->prefix[s] = lengths[s] / 2;
  }
  for (gsize i = 0; i < batch->n; i++) {
    batch->route[i] =
        n_domains > 0 ? (gint8)((gint)gem_random_below(&random, n_domains + 1) - 1) : GEM_ROUTE_GENERAL;
    batch->weight[i] = 0.5f + (float)gem_random_uniform(&random);
  }
  return batch;
}
