#include "bench/direct/limits/gem-limits-avx512.h"
#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define BEGIN(j)                                                                                             \
  __m512 sum##j = _mm512_setzero_ps();                                                                       \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY(j) sum##j = _mm512_dpbf16_ps(sum##j, values, factors);
#define ADD(j)      sum += gem_limits_sum_floats_512(sum##j);

uint64_t
gem_limits_avx512_bf16(uint64_t rounds)
{
  __m512 ones = _mm512_set1_ps(1);
  __m512bh values = _mm512_cvtne2ps_pbh(ones, ones), factors = values;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(values);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_16(BEGIN)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_16(MULTIPLY)
  }
  GEM_LIMITS_EACH_16(ADD)
  return sum;
}
