/* Sums over 256-bit vectors, without a detour through memory. */
#pragma once

#include <immintrin.h>
#include <stdint.h>

/* Of the four 64-bit lanes. */
static inline uint64_t
gem_limits_sum_words_256(__m256i vector)
{
  __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(vector), _mm256_extracti128_si256(vector, 1));

  return (uint64_t)_mm_cvtsi128_si64(pair) + (uint64_t)_mm_extract_epi64(pair, 1);
}

/* Of the eight 32-bit lanes. */
static inline uint64_t
gem_limits_sum_integers_256(__m256i vector)
{
  __m256i low = _mm256_and_si256(vector, _mm256_set1_epi64x(UINT32_MAX));

  return gem_limits_sum_words_256(_mm256_add_epi64(low, _mm256_srli_epi64(vector, 32)));
}
