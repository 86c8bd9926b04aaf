/*
 * Q4_0: 32 values a block: scale d (half), 16 bytes of nibbles; byte j holds value j (low) and value j + 16
 * (high); value = (nibble - 8) d, so the levels are -8 .. 7.
 */
#include "kernels/reference/gem-blocks.h"

#include <math.h>

enum {
  BLOCK_COLS = 32,
  BLOCK_BYTES = 18,
};

static const float lowest_level = -8.0f;
static const float highest_level = 7.0f;

void
gem_q4_0_dequantize(const uint8_t *row, float *values, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    float scale = gem_block_load_half(row);
    const uint8_t *nibbles = row + 2;
    for (int j = 0; j < BLOCK_COLS / 2; j++) {
      values[start + j] = (float)((nibbles[j] & 0x0f) - 8) * scale;
      values[start + j + BLOCK_COLS / 2] = (float)((nibbles[j] >> 4) - 8) * scale;
    }
  }
}

/* A scale as it will be read back from the file. */
static float
stored(float scale)
{
  uint8_t bytes[2];
  gem_block_store_scale(bytes, scale);
  return gem_block_load_half(bytes);
}

/* Tries scales that put the value of largest magnitude at about -8 (where one more level is) or at about 7,
 * each also after a least-squares fit to its own levels, and keeps the best. 0 for a block of zeros. */
static float
find_scale(const float *x)
{
  static const float levels_of_extreme[] = {-8.0f, -9.0f, -8.5f, -7.5f, -7.0f, -6.5f,
                                            -6.0f, 6.5f,  7.0f,  7.5f,  8.0f};
  float extreme = 0.0f;
  for (int i = 0; i < BLOCK_COLS; i++) {
    extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
  }

  float best = stored(extreme / lowest_level);
  if (best == 0.0f) {
    return 0.0f;
  }
  float least = gem_block_error(x, BLOCK_COLS, best, lowest_level, highest_level);
  for (size_t i = 0; i < sizeof(levels_of_extreme) / sizeof(levels_of_extreme[0]); i++) {
    float candidate = stored(
        gem_block_fit_scale(x, BLOCK_COLS, extreme / levels_of_extreme[i], lowest_level, highest_level));
    if (candidate == 0.0f) {
      continue;
    }
    float error = gem_block_error(x, BLOCK_COLS, candidate, lowest_level, highest_level);
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

void
gem_q4_0_quantize(const float *values, uint8_t *row, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    const float *x = values + start;
    float scale = find_scale(x);
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    gem_block_store_scale(row, scale);
    for (int j = 0; j < BLOCK_COLS / 2; j++) {
      int low = (int)gem_block_level(x[j], inverse, lowest_level, highest_level) + 8;
      int high = (int)gem_block_level(x[j + BLOCK_COLS / 2], inverse, lowest_level, highest_level) + 8;
      row[2 + j] = (uint8_t)(low | high << 4);
    }
  }
}
