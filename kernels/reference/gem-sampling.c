/* Over the logits of a vocabulary: what drawing a token needs. */
#include "kernels/reference/gem-reference.h"

#include <math.h>

void
gem_reference_find_largest(const float *x, size_t n, size_t *ret_index)
{
  size_t largest = n;
  for (size_t i = 0; i < n; i++) {
    if (isfinite(x[i]) && (largest == n || x[i] > x[largest])) {
      largest = i;
    }
  }
  *ret_index = largest;
}

void
gem_reference_weigh(
    const float *x, size_t n, float largest, float sharpness, uint32_t *weights, uint64_t *ret_mass)
{
  uint64_t mass = 0;
  for (size_t i = 0; i < n; i++) {
    double exponent = (double)sharpness * ((double)x[i] - (double)largest);
    weights[i] = isfinite(x[i]) ? (uint32_t)(0x1p30 * exp(exponent)) : 0;
    mass += weights[i];
  }
  *ret_mass = mass;
}

void
gem_reference_tally(const uint32_t *weights, size_t n, uint32_t least, size_t *ret_count, uint64_t *ret_mass)
{
  size_t count = 0;
  uint64_t mass = 0;
  for (size_t i = 0; i < n; i++) {
    if (weights[i] >= least) {
      count++;
      mass += weights[i];
    }
  }
  *ret_count = count;
  *ret_mass = mass;
}

void
gem_reference_gather(
    const uint32_t *weights, size_t n, uint32_t least, uint32_t below, uint32_t *gathered, size_t *ret_count)
{
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    if (weights[i] >= least && weights[i] < below) {
      gathered[count++] = weights[i];
    }
  }
  *ret_count = count;
}
