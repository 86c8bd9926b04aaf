#include <arm_neon.h>

#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define BEGIN(j)                                                                                             \
  int32x4_t sum##j = vdupq_n_s32(0);                                                                         \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY(j) sum##j = vdotq_s32(sum##j, bytes, factors);
#define ADD(j)      sum += (uint64_t)vaddlvq_s32(sum##j);

uint64_t
gem_limits_neon_dot(uint64_t rounds)
{
  int8x16_t bytes = vdupq_n_s8(1), factors = bytes;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_16(BEGIN)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_16(MULTIPLY)
  }
  GEM_LIMITS_EACH_16(ADD)
  return sum;
}
