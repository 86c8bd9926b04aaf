#include <arm_neon.h>

#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define BEGIN(j)                                                                                             \
  uint64x2_t sum##j = vdupq_n_u64(0);                                                                        \
  GEM_LIMITS_HIDE(sum##j);
#define READ(j) sum##j = vaddq_u64(sum##j, vld1q_u64(from + 2 * (j)));
#define ADD(j)  sum += vaddvq_u64(sum##j);

uint64_t
gem_limits_read_neon(const void *data, size_t bytes, uint64_t passes)
{
  uint64_t sum = 0;

  GEM_LIMITS_EACH_16(BEGIN)
  for (uint64_t pass = 0; pass < passes; pass++) {
    const uint64_t *from = data, *end = from + bytes / sizeof *from;
    for (; from < end; from += 32) {
      GEM_LIMITS_EACH_16(READ)
    }
    GEM_LIMITS_HIDE_MEMORY();
  }
  GEM_LIMITS_EACH_16(ADD)
  return sum;
}

#define BEGIN_INTEGERS(j)                                                                                    \
  int32x4_t sum##j = vdupq_n_s32(0);                                                                         \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_INTEGERS(j)                                                                                 \
  GEM_LIMITS_HIDE(bytes);                                                                                    \
  sum##j = vpadalq_s16(sum##j,                                                                               \
                       vmlal_high_s8(vmull_s8(vget_low_s8(bytes), vget_low_s8(factors)), bytes, factors));
#define ADD_INTEGERS(j) sum += (uint64_t)vaddlvq_s32(sum##j);

uint64_t
gem_limits_neon_int8(uint64_t rounds)
{
  int8x16_t bytes = vdupq_n_s8(1), factors = bytes;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_8(BEGIN_INTEGERS)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_8(MULTIPLY_INTEGERS)
  }
  GEM_LIMITS_EACH_8(ADD_INTEGERS)
  return sum;
}

#define BEGIN_FLOATS(j)                                                                                      \
  float32x4_t sum##j = vdupq_n_f32(0);                                                                       \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_FLOATS(j) sum##j = vfmaq_f32(sum##j, values, factors);
#define ADD_FLOATS(j)      sum += vaddlvq_u32(vcvtq_u32_f32(sum##j));

uint64_t
gem_limits_neon_fp32(uint64_t rounds)
{
  float32x4_t values = vdupq_n_f32(1), factors = values;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(values);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_16(BEGIN_FLOATS)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_16(MULTIPLY_FLOATS)
  }
  GEM_LIMITS_EACH_16(ADD_FLOATS)
  return sum;
}
