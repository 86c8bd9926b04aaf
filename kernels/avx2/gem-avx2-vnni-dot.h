/*
 * The dot step of the set "avx2-vnni": a word of four columns of 8 rows with one input, as gem-avx2-dot.h.
 *
 * VPDPBUSD multiplies bytes without sign by bytes with sign and adds four in 32 bits. Weights are stored with
 * an offset (Q8_0 gets one of 128) and have no sign so; the sum starts with what the offset makes too much.
 */
#pragma once

#include "kernels/avx2/gem-avx2.h"

/* 32 columns of an input: a sub-block, or (Q6_K) two sub-blocks of 16. */
typedef struct {
  int8_t levels[32];
  int32_t starts[2]; /* of the sums; all 32 columns in the first but for Q6_K */
} GemDotInput;

/* sum0 and sum1 are those of 16 levels each. */
GEM_AVX2_INLINE void
gem_dot_prepare(GemType type, __m256i levels, int32_t sum0, int32_t sum1, GemDotInput *input)
{
  int32_t offset = type == GEM_TYPE_Q4_0 ? 8 : type == GEM_TYPE_Q8_0 ? 128 : 32;
  gem_avx2_store(input->levels, levels);
  if (type == GEM_TYPE_Q6_K) {
    input->starts[0] = -offset * sum0;
    input->starts[1] = -offset * sum1;
  } else {
    input->starts[0] = GEM_AVX2_FLOAT_BITS - offset * (sum0 + sum1);
  }
}

/* Weights of Q8_0 as the step takes them. */
static inline __m256i
gem_dot_bytes(__m256i weights)
{
  return _mm256_xor_si256(weights, _mm256_set1_epi8((char)0x80));
}

GEM_AVX2_INLINE __m256i
gem_dot_add(GemType type, __m256i sum, __m256i weights, const GemDotInput *input, size_t word)
{
  (void)type;
  return _mm256_dpbusd_avx_epi32(sum, weights, gem_avx2_broadcast(input->levels + word * 4));
}

/* The sum as floats, exactly; not of Q6_K. */
GEM_AVX2_INLINE __m256
gem_dot_end(GemType type, __m256i sum)
{
  (void)type;
  return gem_avx2_counted(sum);
}

/* Of Q6_K: 8 scales of a byte, and the sum times these. */
static inline __m256i
gem_dot_whole_scale(__m128i bytes)
{
  return _mm256_cvtepi8_epi32(bytes);
}

static inline __m256i
gem_dot_scale(__m256i sum, __m256i scale)
{
  return _mm256_mullo_epi32(sum, scale);
}
