/*
 * The dot step of the set "avx2": a word of four columns of 8 rows with one input.
 *
 * VPMADDUBSW multiplies bytes without sign by bytes with sign and adds neighbours in 16 bits, saturating.
 *
 * Q4_0 and Q6_K: weights 0 .. 15 or 0 .. 63 meet levels, and the words of a sub-block are added in 16 bits.
 * What the weights are too large for their offset is taken from the sum at its start, each 16 bits their own
 * part. Sums may wrap on the way: they end within 16 bits, for 8 * 16 columns and 32 * 8 columns of at most
 * 127.
 *
 * Q8_0: two products fill 16 bits, so every word is added in 32. The level's magnitude is the byte without
 * sign; where the level is negative, the weight's bits are turned over, which makes it -w - 1, and the sum
 * starts with the magnitudes that are missed so. (VPSIGNB would make -128 of -128.)
 */
#pragma once

#include "kernels/avx2/gem-avx2.h"

/* 32 columns of an input: a sub-block, or (Q6_K) two sub-blocks of 16. */
typedef struct {
  int8_t levels[32]; /* Q8_0: their magnitudes */
  int8_t signs[32];  /* Q8_0: -1 where the level is negative */
  int32_t starts[2]; /* of the sums; all 32 columns in the first but for Q6_K */
} GemDotInput;

/* -offset times the levels, summed for each lane of 128 bits, in two 16-bit parts as VPMADDUBSW leaves them.
 */
static inline __m256i
gem_dot_offsets(__m256i levels, int offset)
{
  __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8((char)offset), levels);
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, _MM_SHUFFLE(1, 0, 3, 2)));
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, _MM_SHUFFLE(2, 3, 0, 1)));
  return _mm256_sub_epi16(_mm256_setzero_si256(), sums);
}

static inline void
gem_dot_prepare_q8_0(__m256i levels, GemDotInput *input)
{
  __m256i negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), levels);
  __m256i magnitudes = _mm256_abs_epi8(levels);
  __m256i missed = _mm256_sad_epu8(_mm256_and_si256(magnitudes, negative), _mm256_setzero_si256());
  __m128i total = _mm_add_epi32(_mm256_castsi256_si128(missed), _mm256_extracti128_si256(missed, 1));
  input->starts[0] = GEM_AVX2_FLOAT_BITS + _mm_cvtsi128_si32(total) + _mm_extract_epi32(total, 2);
  gem_avx2_store(input->levels, magnitudes);
  gem_avx2_store(input->signs, negative);
}

/* sum0 and sum1 are those of 16 levels each. */
GEM_AVX2_INLINE void
gem_dot_prepare(GemType type, __m256i levels, int32_t sum0, int32_t sum1, GemDotInput *input)
{
  (void)sum0, (void)sum1; /* the sums of the 16-bit parts are needed */
  if (type == GEM_TYPE_Q8_0) {
    gem_dot_prepare_q8_0(levels, input);
    return;
  }
  gem_avx2_store(input->levels, levels);
  __m256i offsets = gem_dot_offsets(levels, type == GEM_TYPE_Q4_0 ? 8 : 32);
  __m128i low = _mm256_castsi256_si128(offsets);
  __m128i high = _mm256_extracti128_si256(offsets, 1);
  input->starts[0] = _mm_cvtsi128_si32(type == GEM_TYPE_Q4_0 ? _mm_add_epi16(low, high) : low);
  input->starts[1] = _mm_cvtsi128_si32(high);
}

/* Weights of Q8_0 as the step takes them. */
static inline __m256i
gem_dot_bytes(__m256i weights)
{
  return weights;
}

GEM_AVX2_INLINE __m256i
gem_dot_add(GemType type, __m256i sum, __m256i weights, const GemDotInput *input, size_t word)
{
  __m256i levels = gem_avx2_broadcast(input->levels + word * 4);
  if (type == GEM_TYPE_Q8_0) {
    __m256i turned = _mm256_xor_si256(weights, gem_avx2_broadcast(input->signs + word * 4));
    __m256i pairs = _mm256_maddubs_epi16(levels, turned);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, levels));
}

/* The sum as floats, exactly; not of Q6_K. */
GEM_AVX2_INLINE __m256
gem_dot_end(GemType type, __m256i sum)
{
  if (type == GEM_TYPE_Q8_0) {
    return gem_avx2_counted(sum);
  }
  return _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
}

/* Of Q6_K: 8 scales of a byte, each twice in 16 bits, and the sum times these. */
static inline __m256i
gem_dot_whole_scale(__m128i bytes)
{
  return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(bytes, bytes));
}

static inline __m256i
gem_dot_scale(__m256i sum, __m256i scale)
{
  return _mm256_madd_epi16(sum, scale);
}
