#include "bench/direct/limits/gem-limits-avx512.h"
#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define TOUCH(j)                                                                                             \
  do {                                                                                                       \
    __m512i vector = _mm512_load_si512(from + (j));                                                          \
    GEM_LIMITS_HIDE(vector);                                                                                 \
  } while (0)
#define COUNT(j) sum##j = _mm512_add_epi64(sum##j, _mm512_load_si512(from + 4 * (j)))

/* Every fourth vector is added up, which is enough to count the passes: adding all would take longer than
 * loading them. The others are loaded because the compiler cannot know that they are not looked at. */
uint64_t
gem_limits_read_avx512(const void *data, size_t bytes, uint64_t passes)
{
  __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;

  for (uint64_t pass = 0; pass < passes; pass++) {
    const __m512i *from = data, *end = from + bytes / sizeof *from;
    for (; from < end; from += 8) {
      COUNT(0);
      TOUCH(1);
      TOUCH(2);
      TOUCH(3);
      COUNT(1);
      TOUCH(5);
      TOUCH(6);
      TOUCH(7);
    }
    GEM_LIMITS_HIDE_MEMORY();
  }
  return 4 * gem_limits_sum_words_512(_mm512_add_epi64(sum0, sum1));
}

#define BEGIN_FLOATS(j)                                                                                      \
  __m512 sum##j = _mm512_setzero_ps();                                                                       \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_FLOATS(j) sum##j = _mm512_fmadd_ps(values, factors, sum##j);
#define ADD_FLOATS(j)      sum += gem_limits_sum_floats_512(sum##j);

uint64_t
gem_limits_avx512_fp32(uint64_t rounds)
{
  __m512 values = _mm512_set1_ps(1), factors = values;
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
