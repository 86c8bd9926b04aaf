/*
 * Quantized weights of 8 rows and 32 columns, from the packed form (gem-packed.h) to words of four bytes
 * without sign. A dot step (gem-avx2-dot.h, gem-avx2-vnni-dot.h) is included before.
 */
#pragma once

#include "kernels/avx2/gem-avx2.h"

/* A step: 8 words and the scale of all of them or, of Q6_K, the whole scales of four words each as the dot
 * step takes them. */
typedef struct {
  __m256i words[8];
  __m256 scale;
  __m256i whole_scales[2];
} Weights;

GEM_AVX2_INLINE void
decode_q4_0(const uint8_t *data, size_t blocks, size_t step, size_t half, Weights *weights)
{
  const __m256i low = _mm256_set1_epi8(0x0f);
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++) {
    __m256i nibbles = gem_avx2_load(data + (step * 4 + word) * 64 + half * 32);
    weights->words[word] = _mm256_and_si256(nibbles, low);
    weights->words[4 + word] = _mm256_and_si256(_mm256_srli_epi16(nibbles, 4), low);
  }
  weights->scale = gem_avx2_halves(data + blocks * 256 + step * 32 + half * 16);
}

GEM_AVX2_INLINE void
decode_q8_0(const uint8_t *data, size_t blocks, size_t step, size_t half, Weights *weights)
{
#pragma GCC unroll 8
  for (size_t word = 0; word < 8; word++) {
    weights->words[word] = gem_dot_bytes(gem_avx2_load(data + (step * 8 + word) * 64 + half * 32));
  }
  weights->scale = gem_avx2_halves(data + blocks * 512 + step * 32 + half * 16);
}

/* Q6_K: the first of the two sub-blocks of a step, in the order of columns; the other is two behind it. A
 * group of four words of pairs is two steps. */
GEM_AVX2_INLINE size_t
first_sub_of_step(size_t step)
{
  return step / 4 * 8 + step / 2 % 2 + step % 2 * 4;
}

GEM_AVX2_INLINE __m256i
q6_k_scale(const uint8_t *data, size_t sub, size_t half)
{
  __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(data + 3072 + sub * 16 + half * 8));
  return gem_dot_whole_scale(bytes);
}

/* d of 8 rows of a chunk. */
GEM_AVX2_INLINE __m256
q6_k_d(const uint8_t *data, size_t half)
{
  return gem_avx2_halves(data + 3328 + half * 16);
}

/* Low nibbles, and of `pairs` bits 4 and 5. */
GEM_AVX2_INLINE __m256i
six_bits(__m256i nibbles, __m256i pairs)
{
  return _mm256_or_si256(_mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f)),
                         _mm256_and_si256(pairs, _mm256_set1_epi8(0x30)));
}

GEM_AVX2_INLINE void
decode_q6_k(const uint8_t *data, size_t step, size_t half, Weights *weights)
{
  size_t group = step / 2;
  const uint8_t *nibbles = data + (group / 2 * 16 + group % 2 * 4) * 64 + half * 32;
  const uint8_t *pairs = data + 2048 + group * 256 + half * 32;
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++) {
    __m256i first = gem_avx2_load(nibbles + word * 64);
    __m256i second = gem_avx2_load(nibbles + (8 + word) * 64);
    __m256i high = gem_avx2_load(pairs + word * 64);
    if (step % 2 == 0) {
      weights->words[word] = six_bits(first, _mm256_slli_epi16(high, 4));
      weights->words[4 + word] = six_bits(second, _mm256_slli_epi16(high, 2));
    } else {
      weights->words[word] = six_bits(_mm256_srli_epi16(first, 4), high);
      weights->words[4 + word] = six_bits(_mm256_srli_epi16(second, 4), _mm256_srli_epi16(high, 2));
    }
  }
  size_t sub = first_sub_of_step(step);
  weights->whole_scales[0] = q6_k_scale(data, sub, half);
  weights->whole_scales[1] = q6_k_scale(data, sub + 2, half);
}

/* `data` is a chunk of a panel, of so many blocks of 32 columns. */
GEM_AVX2_INLINE void
decode_step(GemType type, const uint8_t *data, size_t blocks, size_t step, size_t half, Weights *weights)
{
  if (type == GEM_TYPE_Q4_0) {
    decode_q4_0(data, blocks, step, half, weights);
  } else if (type == GEM_TYPE_Q8_0) {
    decode_q8_0(data, blocks, step, half, weights);
  } else {
    decode_q6_k(data, step, half, weights);
  }
}
