#include "bench/direct/limits/gem-limits-avx512.h"
#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define BEGIN_512(j)                                                                                         \
  __m512i sum##j = _mm512_setzero_si512();                                                                   \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_512(j) sum##j = _mm512_dpbusd_epi32(sum##j, bytes, factors);
#define ADD_512(j)      sum += gem_limits_sum_integers_512(sum##j);

uint64_t
gem_limits_avx512_vnni_int8(uint64_t rounds)
{
  __m512i bytes = _mm512_set1_epi8(1), factors = bytes;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_16(BEGIN_512)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_16(MULTIPLY_512)
  }
  GEM_LIMITS_EACH_16(ADD_512)
  return sum;
}

#define BEGIN_256(j)                                                                                         \
  __m256i sum##j = _mm256_setzero_si256();                                                                   \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_256(j) sum##j = _mm256_dpbusd_epi32(sum##j, bytes, factors);
#define ADD_256(j)      sum += gem_limits_sum_integers_256(sum##j);

uint64_t
gem_limits_avx512_vnni_int8_256(uint64_t rounds)
{
  __m256i bytes = _mm256_set1_epi8(1), factors = bytes;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_12(BEGIN_256)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_12(MULTIPLY_256)
  }
  GEM_LIMITS_EACH_12(ADD_256)
  return sum;
}
