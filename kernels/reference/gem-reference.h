/*
 * The plain C kernels, one file a subject; gem-kernels.h says what each computes. Each result is summed in an
 * order that depends on its own lengths alone, never on how many rows or heads are computed with it.
 */
#pragma once

#include <string.h>

#include "kernels/gem-kernels.h"

#define GEM_REFERENCE_DECLARE(result, name, parameters) result gem_reference_##name parameters;
GEM_KERNEL_LIST(GEM_REFERENCE_DECLARE)
#undef GEM_REFERENCE_DECLARE

/* a . b over n values, in 16 partial sums: enough for the adds not to wait for each other. */
static inline float
gem_reference_dot(const float *a, const float *b, size_t n)
{
  float lanes[16] = {0.0f};
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (size_t lane = 0; lane < 16; lane++) {
      lanes[lane] += a[i + lane] * b[i + lane];
    }
  }
  for (size_t lane = 0; i < n; i++, lane++) {
    lanes[lane] += a[i] * b[i];
  }
  for (size_t width = 8; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) {
      lanes[lane] += lanes[lane + width];
    }
  }
  return lanes[0];
}
