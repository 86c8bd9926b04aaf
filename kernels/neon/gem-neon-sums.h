/*
 * Sums of products of bytes without a dot product: 8 products of 16 bits at a time. Each level stands beside
 * the four rows' weights of its column, so that neighbouring products are of one row.
 */
#pragma once

#include "kernels/neon/gem-neon.h"

/* What weights may be, which says how many products fit 16 bits. */
typedef enum { RANGE_NIBBLE, RANGE_SIX, RANGE_SIX_UNSIGNED, RANGE_BYTE } WeightRange;

typedef struct {
  int8x16_t words[4]; /* each word in all four lanes */
} Levels;

static inline Levels
load_levels(const int8_t *levels)
{
  int32x4_t words = vreinterpretq_s32_s8(vld1q_s8(levels));
  return (Levels){{
      vreinterpretq_s8_s32(vdupq_laneq_s32(words, 0)),
      vreinterpretq_s8_s32(vdupq_laneq_s32(words, 1)),
      vreinterpretq_s8_s32(vdupq_laneq_s32(words, 2)),
      vreinterpretq_s8_s32(vdupq_laneq_s32(words, 3)),
  }};
}

/* Rows 0 and 1 in low, 2 and 3 in high: products of 16 bits, four of a row side by side, one for each byte of
 * the words; those that would not fit in 32 bits, two of a row. */
typedef struct {
  int16x8_t low, high;
  int32x4_t wide_low, wide_high;
  int32x4_t start;
} Sums;

static inline Sums
start_sums(int32x4_t start)
{
  return (Sums){.start = start};
}

/* Levels are -127 .. 127, so that two products with 8-bit weights fit 16 bits, and no third. */
static inline Sums
add_word(Sums sums, int8x16_t weights, const Levels *levels, size_t word, WeightRange range)
{
  size_t run = range == RANGE_BYTE ? 2 : 8;
  int8x16_t level = levels[word / 4].words[word % 4];
  if (word % run == 0) {
    sums.low = vmull_s8(vget_low_s8(weights), vget_low_s8(level));
    sums.high = vmull_high_s8(weights, level);
  } else {
    sums.low = vmlal_s8(sums.low, vget_low_s8(weights), vget_low_s8(level));
    sums.high = vmlal_high_s8(sums.high, weights, level);
  }
  if (range == RANGE_BYTE && word % run == run - 1) {
    sums.wide_low = word < run ? vpaddlq_s16(sums.low) : vpadalq_s16(sums.wide_low, sums.low);
    sums.wide_high = word < run ? vpaddlq_s16(sums.high) : vpadalq_s16(sums.wide_high, sums.high);
  }
  return sums;
}

/* 8 words of 4-bit weights, at most 15, and 4 words of 6-bit weights, at most 32, leave room for one more sum
 * of two in 16 bits: 2 * 8 * 15 * 127 and 2 * 4 * 32 * 127. Unsigned ones, at most 63, do not. */
static inline int32x4_t
end_sums(Sums sums, WeightRange range)
{
  if (range == RANGE_BYTE) {
    return vaddq_s32(sums.start, vpaddq_s32(sums.wide_low, sums.wide_high));
  }
  if (range == RANGE_SIX_UNSIGNED) {
    return vaddq_s32(sums.start, vpaddq_s32(vpaddlq_s16(sums.low), vpaddlq_s16(sums.high)));
  }
  return vaddq_s32(sums.start, vpaddlq_s16(vpaddq_s16(sums.low, sums.high)));
}
