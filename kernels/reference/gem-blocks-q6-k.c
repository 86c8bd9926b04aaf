/*
 * Q6_K: 256 values a block, in 16 groups of 16: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16
 * signed group scales s, scale d (half); value = d s (q - 32), so the levels are -32 .. 31.
 *
 * Each half of 128 values is four runs of 32: run 0 and 2 share bytes 0 .. 31 of the half's nibbles (low and
 * high nibble), run 1 and 3 bytes 32 .. 63; byte l of the half's 32 bytes of pairs has bits 2r, 2r + 1 for
 * value l of run r.
 */
#include "kernels/reference/gem-blocks.h"

#include <math.h>
#include <string.h>

enum {
  BLOCK_COLS = 256,
  BLOCK_BYTES = 210,
  GROUPS = 16,
  GROUP_COLS = 16,
  HALF_COLS = 128,
  RUN_COLS = 32,
  PAIRS_OFFSET = 128,
  SCALES_OFFSET = 192,
  D_OFFSET = 208,
};

static const float lowest_level = -32.0f;
static const float highest_level = 31.0f;

/* Where value `i` of a block stands: its nibble's byte and shift, its pair's byte and shift. */
typedef struct {
  int nibble_byte, nibble_shift, pair_byte, pair_shift;
} LevelPlace;

static inline LevelPlace
level_place(int i)
{
  int half = i / HALF_COLS;
  int run = i % HALF_COLS / RUN_COLS;
  int lane = i % RUN_COLS;
  return (LevelPlace){
      .nibble_byte = half * 64 + run % 2 * RUN_COLS + lane,
      .nibble_shift = run / 2 * 4,
      .pair_byte = PAIRS_OFFSET + half * 32 + lane,
      .pair_shift = 2 * run,
  };
}

static void
dequantize_block(const uint8_t *block, float *values)
{
  float d = gem_block_load_half(block + D_OFFSET);
  const int8_t *scales = (const int8_t *)(block + SCALES_OFFSET);
  for (int group = 0; group < GROUPS; group++) {
    float scale = d * (float)scales[group];
    /* A group lies within one run, so its places are consecutive. */
    LevelPlace place = level_place(group * GROUP_COLS);
    const uint8_t *nibbles = block + place.nibble_byte;
    const uint8_t *pairs = block + place.pair_byte;
    float *out = values + group * GROUP_COLS;
    for (int i = 0; i < GROUP_COLS; i++) {
      int level = (nibbles[i] >> place.nibble_shift & 0x0f) | (pairs[i] >> place.pair_shift & 0x03) << 4;
      out[i] = scale * (float)(level - 32);
    }
  }
}

void
gem_q6_k_dequantize(const uint8_t *row, float *values, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    dequantize_block(row, values + start);
  }
}

/* The best scale of one group before it is itself rounded to a multiple of d. */
static float
find_group_scale(const float *x)
{
  static const float levels_of_extreme[] = {-33.0f, -32.0f, -31.5f, -31.0f, -30.5f, -30.0f, -29.0f, 31.0f};
  float extreme = 0.0f;
  for (int i = 0; i < GROUP_COLS; i++) {
    extreme = fabsf(x[i]) > fabsf(extreme) ? x[i] : extreme;
  }
  if (fabsf(extreme) <
      0x1p-100f) { /* the inverse would overflow; half scales cannot hold such values anyway */
    return 0.0f;
  }

  float best = extreme / lowest_level;
  float least = gem_block_error(x, GROUP_COLS, best, lowest_level, highest_level);
  for (size_t i = 0; i < sizeof(levels_of_extreme) / sizeof(levels_of_extreme[0]); i++) {
    float candidate =
        gem_block_fit_scale(x, GROUP_COLS, extreme / levels_of_extreme[i], lowest_level, highest_level);
    float error = gem_block_error(x, GROUP_COLS, candidate, lowest_level, highest_level);
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

/* Chooses each group's signed byte for a given d: the nearest to its own scale, or a neighbour when that
 * loses less. Returns the squared error of the block. */
static float
choose_group_bytes(const float *x, const float *group_scales, float d, int8_t *bytes)
{
  float total = 0.0f;
  for (int group = 0; group < GROUPS; group++) {
    const float *values = x + group * GROUP_COLS;
    int nearest = (int)gem_block_level(group_scales[group], 1.0f / d, -128.0f, 127.0f);
    float least = INFINITY;
    for (int candidate = nearest - 1; candidate <= nearest + 1; candidate++) {
      if (candidate < -128 || candidate > 127) {
        continue;
      }
      float error = gem_block_error(values, GROUP_COLS, d * (float)candidate, lowest_level, highest_level);
      if (error < least) {
        least = error;
        bytes[group] = (int8_t)candidate;
      }
    }
    total += least;
  }
  return total;
}

/* Chooses d (as the file will hold it) and the groups' bytes; returns d, 0 for a block that is all zero at
 * half precision. */
static float
choose_scales(const float *x, uint8_t *block)
{
  static const float bytes_of_extreme[] = {-128.0f, -127.0f, -126.0f, -124.0f, 127.0f};
  float group_scales[GROUPS];
  float extreme = 0.0f;
  for (int group = 0; group < GROUPS; group++) {
    group_scales[group] = find_group_scale(x + group * GROUP_COLS);
    extreme = fabsf(group_scales[group]) > fabsf(extreme) ? group_scales[group] : extreme;
  }

  float best = 0.0f;
  float least = INFINITY;
  for (size_t i = 0; i < sizeof(bytes_of_extreme) / sizeof(bytes_of_extreme[0]); i++) {
    uint8_t half[2];
    gem_block_store_scale(half, extreme / bytes_of_extreme[i]);
    float d = gem_block_load_half(half);
    if (d == 0.0f) {
      continue;
    }
    int8_t bytes[GROUPS];
    float error = choose_group_bytes(x, group_scales, d, bytes);
    if (error < least) {
      least = error;
      best = d;
      memcpy(block + SCALES_OFFSET, bytes, GROUPS);
    }
  }
  return best;
}

static void
quantize_block(const float *x, uint8_t *block)
{
  memset(block, 0, BLOCK_BYTES);
  float d = choose_scales(x, block);
  gem_block_store_scale(block + D_OFFSET, d);

  const int8_t *scales = (const int8_t *)(block + SCALES_OFFSET);
  for (int i = 0; i < BLOCK_COLS; i++) {
    int group = i / GROUP_COLS;
    float scale = d * (float)scales[group];
    float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    int level = (int)gem_block_level(x[i], inverse, lowest_level, highest_level) + 32;
    LevelPlace place = level_place(i);
    block[place.nibble_byte] |= (uint8_t)((level & 0x0f) << place.nibble_shift);
    block[place.pair_byte] |= (uint8_t)(level >> 4 << place.pair_shift);
  }
}

void
gem_q6_k_quantize(const float *values, uint8_t *row, size_t cols)
{
  for (size_t start = 0; start < cols; start += BLOCK_COLS, row += BLOCK_BYTES) {
    quantize_block(values + start, row);
  }
}
