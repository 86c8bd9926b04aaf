/* What is chosen of a vector, moved together in it. */
#include "kernels/avx512/gem-avx512.h"

#include <immintrin.h>

void
gem_avx512_gather_compressed(
    const uint32_t *weights, size_t n, uint32_t least, uint32_t below, uint32_t *gathered, size_t *ret_count)
{
  __m512i first = _mm512_set1_epi32((int32_t)least);
  __m512i span = _mm512_set1_epi32((int32_t)(below - least));
  size_t count = 0;
  for (size_t i = 0; i < n; i += 16) {
    __mmask16 there = n - i < 16 ? (__mmask16)((1u << (n - i)) - 1) : 0xffff;
    __m512i values = _mm512_maskz_loadu_epi32(there, weights + i);
    __mmask16 chosen = _mm512_mask_cmplt_epu32_mask(there, _mm512_sub_epi32(values, first), span);
    unsigned found = (unsigned)__builtin_popcount(chosen);
    /* In a register first: some machines are slow at it in memory. */
    __m512i together = _mm512_maskz_compress_epi32(chosen, values);
    _mm512_mask_storeu_epi32(gathered + count, (__mmask16)((1u << found) - 1), together);
    count += found;
  }
  *ret_count = count;
}
