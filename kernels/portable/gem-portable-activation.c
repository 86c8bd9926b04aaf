#include "kernels/portable/gem-portable-math.h"
#include "kernels/portable/gem-portable.h"

void
GEM_PORTABLE(swiglu)(const float *gate, const float *up, size_t count, float *out)
{
#pragma omp simd
  for (size_t i = 0; i < count; i++) {
    out[i] = gate[i] * gem_portable_sigmoid(gate[i]) * up[i];
  }
}

/* 1 + tanh(u) = 2 sigmoid(2 u). */
void
GEM_PORTABLE(gelu)(float *x, size_t count)
{
  const float twice_sqrt_2_over_pi = 1.595769121605731f;
#pragma omp simd
  for (size_t i = 0; i < count; i++) {
    float cubic = fmaf(0.044715f * x[i] * x[i], x[i], x[i]);
    x[i] *= gem_portable_sigmoid(twice_sqrt_2_over_pi * cubic);
  }
}

static float
find_largest(const float *x, size_t n)
{
  int32_t largest = INT32_MIN;
#pragma omp simd reduction(max : largest)
  for (size_t i = 0; i < n; i++) {
    int32_t order = gem_portable_order((int32_t)gem_portable_bits(x[i]));
    largest = order > largest ? order : largest;
  }
  return gem_portable_float((uint32_t)gem_portable_order(largest));
}

void
GEM_PORTABLE(softmax)(float *x, size_t n)
{
  float largest = find_largest(x, n);
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < n; i++) {
    x[i] = gem_portable_exp(x[i] - largest);
    sum += x[i];
  }
  float share = 1.0f / sum;
#pragma omp simd
  for (size_t i = 0; i < n; i++) {
    x[i] *= share;
  }
}
