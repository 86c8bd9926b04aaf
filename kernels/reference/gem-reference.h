/*
 * The plain C kernels, one file a subject; gem-kernels.h says what each computes. Each result is summed in an
 * order that depends on its own lengths alone, never on how many rows or heads are computed with it.
 */
#pragma once

#include <string.h>

#include "kernels/gem-kernels.h"

void
gem_reference_linear(
    GemType type, const void *weights, size_t rows, size_t cols, const float *x, size_t n, float *y);
void
gem_reference_rms_norm(const float *x, const float *weight, size_t n, size_t d, float eps, float *y);
void
gem_reference_rope(float *x,
                   const uint32_t *positions,
                   size_t n,
                   size_t heads,
                   size_t head_dim,
                   size_t rope_dim,
                   float base);
void
gem_reference_softmax(float *x, size_t n);
void
gem_reference_swiglu(const float *gate, const float *up, size_t count, float *out);
void
gem_reference_gelu(float *x, size_t count);
void
gem_reference_scar_assign(
    const float *u, size_t n, size_t d, const float *centroids, size_t k, uint8_t *cluster);
void
gem_reference_attend(const float *q,
                     size_t heads,
                     size_t kv_heads,
                     size_t head_dim,
                     const GemKvRows *keys,
                     const GemKvRows *values,
                     const uint32_t *visible,
                     size_t count,
                     float *scores,
                     float *out);

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

/* Columns that are decoded at a time: a multiple of every block, and 4 KiB of floats stay in the nearest
 * cache. */
enum { GEM_REFERENCE_CHUNK = 1024 };

/* `width` (<= GEM_REFERENCE_CHUNK) values of a stored row from column `start`, a multiple of the chunk: the
 * row itself when it is floats at their natural alignment, otherwise decoded into `buffer`. */
static inline const float *
gem_reference_chunk(GemType type, const uint8_t *row, size_t start, size_t width, float *buffer)
{
  const uint8_t *chunk = row + gem_type_row_bytes(type, start);
  if (type == GEM_TYPE_F32 && (uintptr_t)chunk % _Alignof(float) == 0) {
    return (const float *)(const void *)chunk;
  }
  gem_dequantize_row(type, chunk, buffer, width);
  return buffer;
}
