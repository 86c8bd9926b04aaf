/* Q8_0: 32 values a block: scale d (half), 32 signed bytes; value = q d. */
#include "kernels/reference/gem-blocks.h"

#include <math.h>

enum {
  BLOCK_COLS = 32,
  BLOCK_BYTES = 34,
};

void
gem_q8_0_dequantize(const uint8_t *row, float *values, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    float scale = gem_block_load_half(row);
    const int8_t *levels = (const int8_t *)(row + 2);
    for (int i = 0; i < BLOCK_COLS; i++) {
      values[start + i] = (float)levels[i] * scale;
    }
  }
}

void
gem_q8_0_quantize(const float *values, uint8_t *row, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    const float *x = values + start;
    float largest = 0.0f;
    for (int i = 0; i < BLOCK_COLS; i++) {
      largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    }

    float scale = largest / 127.0f;
    float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    gem_block_store_scale(row, scale);
    int8_t *levels = (int8_t *)(row + 2);
    for (int i = 0; i < BLOCK_COLS; i++) {
      levels[i] = (int8_t)gem_block_level(x[i], inverse, -127.0f, 127.0f);
    }
  }
}
