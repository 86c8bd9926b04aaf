#include "kernels/reference/gem-reference.h"

/* Each stored row is decoded once, chunk by chunk, and met with all n inputs while it is in the nearest
 * cache. */
void
gem_reference_linear(
    GemType type, const void *weights, size_t rows, size_t cols, const float *x, size_t n, float *y)
{
  float buffer[GEM_REFERENCE_CHUNK];
  size_t row_bytes = gem_type_row_bytes(type, cols);
  for (size_t row = 0; row < rows; row++) {
    const uint8_t *stored = (const uint8_t *)weights + row * row_bytes;
    for (size_t start = 0; start < cols; start += GEM_REFERENCE_CHUNK) {
      size_t width = cols - start < GEM_REFERENCE_CHUNK ? cols - start : GEM_REFERENCE_CHUNK;
      const float *chunk = gem_reference_chunk(type, stored, start, width, buffer);
      for (size_t i = 0; i < n; i++) {
        float partial = gem_reference_dot(chunk, x + i * cols + start, width);
        y[i * rows + row] = start == 0 ? partial : y[i * rows + row] + partial;
      }
    }
  }
}
