#include "kernels/portable/gem-portable.h"

#include <math.h>

/* In four parts, whose sums do not wait for each other. */
static float
sum_of_squares(const float *x, size_t d)
{
  size_t part = d / 4;
  float a = 0.0f, b = 0.0f, c = 0.0f, e = 0.0f;
#pragma omp simd reduction(+ : a, b, c, e)
  for (size_t i = 0; i < part; i++) {
    a = fmaf(x[i], x[i], a);
    b = fmaf(x[part + i], x[part + i], b);
    c = fmaf(x[2 * part + i], x[2 * part + i], c);
    e = fmaf(x[3 * part + i], x[3 * part + i], e);
  }
  for (size_t i = 4 * part; i < d; i++) {
    a = fmaf(x[i], x[i], a);
  }
  return (a + b) + (c + e);
}

void
GEM_PORTABLE(rms_norm)(const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)
{
  for (size_t row = 0; row < n; row++, x += d, y += d) {
    float scale = 1.0f / sqrtf(sum_of_squares(x, d) / (float)d + epsilon);
#pragma omp simd
    for (size_t i = 0; i < d; i++) {
      y[i] = x[i] * scale * weight[i];
    }
  }
}
