#include "daemon/engine/gem-logits.h"

#include <math.h>

double
gem_logits_normaliser(const float *logits, gsize n)
{
  double largest = -INFINITY, sum = 0;

  for (gsize i = 0; i < n; i++) {
    largest = fmax(largest, (double)logits[i]);
  }
  for (gsize i = 0; i < n; i++) {
    sum += exp((double)logits[i] - largest);
  }
  return largest + log(sum);
}
