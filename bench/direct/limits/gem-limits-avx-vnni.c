#include "bench/direct/limits/gem-limits-avx2.h"
#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define BEGIN(j)                                                                                             \
  __m256i sum##j = _mm256_setzero_si256();                                                                   \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY(j) sum##j = _mm256_dpbusd_avx_epi32(sum##j, bytes, factors);
#define ADD(j)      sum += gem_limits_sum_integers_256(sum##j);

uint64_t
gem_limits_avx_vnni_int8(uint64_t rounds)
{
  __m256i bytes = _mm256_set1_epi8(1), factors = bytes;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_12(BEGIN)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_12(MULTIPLY)
  }
  GEM_LIMITS_EACH_12(ADD)
  return sum;
}
