#include "bench/direct/limits/gem-limits-avx2.h"
#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

#define TOUCH(j)                                                                                             \
  do {                                                                                                       \
    __m256i vector = _mm256_load_si256(from + (j));                                                          \
    GEM_LIMITS_HIDE(vector);                                                                                 \
  } while (0)
#define COUNT(j) sum##j = _mm256_add_epi64(sum##j, _mm256_load_si256(from + 4 * (j)))

/* Every fourth vector is added up, which is enough to count the passes: adding all would take longer than
 * loading them. The others are loaded because the compiler cannot know that they are not looked at. */
uint64_t
gem_limits_read_avx2(const void *data, size_t bytes, uint64_t passes)
{
  __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;

  for (uint64_t pass = 0; pass < passes; pass++) {
    const __m256i *from = data, *end = from + bytes / sizeof *from;
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
  return 4 * (gem_limits_sum_words_256(sum0) + gem_limits_sum_words_256(sum1));
}

#define BEGIN(j)                                                                                             \
  __m256i sum##j = _mm256_setzero_si256();                                                                   \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY(j)                                                                                          \
  GEM_LIMITS_HIDE(bytes);                                                                                    \
  sum##j = _mm256_add_epi32(sum##j, _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, factors), ones));
#define ADD_INTEGERS(j) sum += gem_limits_sum_integers_256(sum##j);

/* Only the adds form chains, of one cycle each: fewer of them than elsewhere keep the units busy. */
uint64_t
gem_limits_avx2_int8(uint64_t rounds)
{
  __m256i bytes = _mm256_set1_epi8(1), factors = bytes, ones = _mm256_set1_epi16(1);
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(bytes);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_HIDE(ones);
  GEM_LIMITS_EACH_8(BEGIN)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_8(MULTIPLY)
  }
  GEM_LIMITS_EACH_8(ADD_INTEGERS)
  return sum;
}

#define BEGIN_FLOATS(j)                                                                                      \
  __m256 sum##j = _mm256_setzero_ps();                                                                       \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_FLOATS(j) sum##j = _mm256_fmadd_ps(values, factors, sum##j);
#define ADD_FLOATS(j)      sum += gem_limits_sum_integers_256(_mm256_cvttps_epi32(sum##j));

uint64_t
gem_limits_avx2_fp32(uint64_t rounds)
{
  __m256 values = _mm256_set1_ps(1), factors = values;
  uint64_t sum = 0;

  GEM_LIMITS_HIDE(values);
  GEM_LIMITS_HIDE(factors);
  GEM_LIMITS_EACH_12(BEGIN_FLOATS)
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_EACH_12(MULTIPLY_FLOATS)
  }
  GEM_LIMITS_EACH_12(ADD_FLOATS)
  return sum;
}
