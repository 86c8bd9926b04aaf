/* Sums over 512-bit vectors, without a detour through memory. */
#pragma once

#include "bench/direct/limits/gem-limits-avx2.h"

/* Of the eight 64-bit lanes. */
static inline uint64_t
gem_limits_sum_words_512(__m512i vector)
{
  return gem_limits_sum_words_256(
      _mm256_add_epi64(_mm512_castsi512_si256(vector), _mm512_extracti64x4_epi64(vector, 1)));
}

/* Of the sixteen 32-bit lanes. */
static inline uint64_t
gem_limits_sum_integers_512(__m512i vector)
{
  __m512i low = _mm512_and_si512(vector, _mm512_set1_epi64(UINT32_MAX));

  return gem_limits_sum_words_512(_mm512_add_epi64(low, _mm512_srli_epi64(vector, 32)));
}

/* Of sixteen floats that are whole numbers. */
static inline uint64_t
gem_limits_sum_floats_512(__m512 vector)
{
  return gem_limits_sum_integers_512(_mm512_cvttps_epi32(vector));
}
