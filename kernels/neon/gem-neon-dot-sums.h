/* Sums of products of bytes with the dot product: four columns of four rows at a time, with a word of levels.
 */
#pragma once

#include "kernels/neon/gem-neon.h"

/* Sums are of 32 bits at once, whatever the weights are. */
typedef enum { RANGE_NIBBLE, RANGE_SIX, RANGE_SIX_UNSIGNED, RANGE_BYTE } WeightRange;

typedef struct {
  int8x16_t words;
} Levels;

static inline Levels
load_levels(const int8_t *levels)
{
  return (Levels){vld1q_s8(levels)};
}

typedef int32x4_t Sums;

static inline Sums
start_sums(int32x4_t start)
{
  return start;
}

static inline Sums
add_word(Sums sums, int8x16_t weights, const Levels *levels, size_t word, WeightRange range)
{
  int8x16_t words = levels[word / 4].words;
  switch (word % 4) { /* the instruction has the number in it */
  case 0:
    return vdotq_laneq_s32(sums, weights, words, 0);
  case 1:
    return vdotq_laneq_s32(sums, weights, words, 1);
  case 2:
    return vdotq_laneq_s32(sums, weights, words, 2);
  default:
    return vdotq_laneq_s32(sums, weights, words, 3);
  }
}

static inline int32x4_t
end_sums(Sums sums, WeightRange range)
{
  return sums;
}
