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
