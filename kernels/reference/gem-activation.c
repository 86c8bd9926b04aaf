#include "kernels/reference/gem-reference.h"

#include <math.h>

void
gem_reference_softmax(float *x, size_t n)
{
  float max = x[0];
  for (size_t i = 1; i < n; i++) {
    max = x[i] > max ? x[i] : max;
  }

  float sum = 0.0f;
  for (size_t i = 0; i < n; i++) {
    x[i] = expf(x[i] - max);
    sum += x[i];
  }
  for (size_t i = 0; i < n; i++) {
    x[i] /= sum;
  }
}

void
gem_reference_swiglu(const float *gate, const float *up, size_t count, float *out)
{
  for (size_t i = 0; i < count; i++) {
    out[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
  }
}

void
gem_reference_gelu(float *x, size_t count)
{
  const float sqrt_2_over_pi = 0.797884560802865f;
  for (size_t i = 0; i < count; i++) {
    float inner = sqrt_2_over_pi * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    x[i] = 0.5f * x[i] * (1.0f + tanhf(inner));
  }
}
