/*
 * A chunk of two panels, decoded once for many inputs to weights of 8 bits without sign. Blocks stand in the
 * order in which all sets sum them; of Q6_K, whose sums are exact, sub-blocks do as they are decoded.
 * GEM_AVX512_CHUNK_OFFSET is what weights of all types are too large by.
 */
#pragma once

#include "kernels/avx512/gem-avx512.h"

enum {
  GEM_AVX512_CHUNK_PANELS = 2,
  GEM_AVX512_CHUNK_SUBS = 16, /* sub-blocks at most */
  GEM_AVX512_CHUNK_WORDS = GEM_CHUNK_COLS / 4,
  GEM_AVX512_CHUNK_OFFSET = 128
};

/* Sub-blocks stand in the order in which they are summed. */
typedef struct {
  const uint8_t *next[GEM_AVX512_CHUNK_PANELS]; /* the chunks that are decoded after this one */
  size_t next_lines;                            /* of 64 bytes */
  bool next_nearest; /* they are asked into the first-level cache, not the second */
  size_t subs;
  size_t sub_words;                        /* of 4 columns: 8 or 4 */
  uint16_t columns[GEM_AVX512_CHUNK_SUBS]; /* first column of the sub-block in the chunk */
  __m512i weights[GEM_AVX512_CHUNK_WORDS][GEM_AVX512_CHUNK_PANELS];
  union {
    __m512 scales[GEM_AVX512_CHUNK_SUBS][GEM_AVX512_CHUNK_PANELS];
    __m512i whole_scales[GEM_AVX512_CHUNK_SUBS][GEM_AVX512_CHUNK_PANELS]; /* of Q6_K, each times d */
  };
  __m512 d[GEM_AVX512_CHUNK_PANELS];
} GemAvx512Chunk;

/* First column of a sub-block in the chunk. Those of 16 columns are of Q6_K: four of each half's 16 words of
 * pairs, 32 columns apart. */
static inline size_t
gem_avx512_chunk_column(size_t sub, size_t sub_words)
{
  return sub_words == 8 ? sub * 32 : sub / 8 * 128 + sub % 4 * 32 + sub / 4 % 2 * 16;
}

/* Of Q6_K, or of `blocks` blocks of 32 columns. */
static inline void
gem_avx512_chunk_describe(GemAvx512Chunk *chunk, GemType type, size_t blocks)
{
  chunk->subs = type == GEM_TYPE_Q6_K ? GEM_AVX512_CHUNK_SUBS : blocks;
  chunk->sub_words = type == GEM_TYPE_Q6_K ? 4 : 8;
  for (size_t sub = 0; sub < chunk->subs; sub++) {
    chunk->columns[sub] = (uint16_t)gem_avx512_chunk_column(sub, chunk->sub_words);
  }
}

__attribute__((always_inline)) static inline void
gem_avx512_chunk_decode_q4_0(const uint8_t *data, size_t blocks, size_t panel, GemAvx512Chunk *chunk)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  const __m512i least = _mm512_set1_epi8((char)(GEM_AVX512_CHUNK_OFFSET - 8));
  for (size_t block = 0; block < blocks; block++) {
#pragma GCC unroll 4
    for (size_t word = 0; word < 4; word++) {
      __m512i nibbles = _mm512_loadu_si512(data + (block * 4 + word) * 64);
      __m512i high = _mm512_and_si512(_mm512_srli_epi16(nibbles, 4), low);
      chunk->weights[block * 8 + word][panel] = _mm512_add_epi8(_mm512_and_si512(nibbles, low), least);
      chunk->weights[block * 8 + 4 + word][panel] = _mm512_add_epi8(high, least);
    }
    chunk->scales[block][panel] = gem_avx512_scales(data + blocks * 256 + block * 32);
  }
}

__attribute__((always_inline)) static inline void
gem_avx512_chunk_decode_q8_0(const uint8_t *data, size_t blocks, size_t panel, GemAvx512Chunk *chunk)
{
  const __m512i sign = _mm512_set1_epi8((char)GEM_AVX512_CHUNK_OFFSET);
  for (size_t word = 0; word < blocks * 8; word++) {
    chunk->weights[word][panel] = _mm512_xor_si512(_mm512_loadu_si512(data + word * 64), sign);
  }
  for (size_t block = 0; block < blocks; block++) {
    chunk->scales[block][panel] = gem_avx512_scales(data + blocks * 512 + block * 32);
  }
}

/* Part 0 .. 3 of a byte of pairs above its nibble. */
static inline __m512i
gem_avx512_chunk_six_bits(__m512i nibbles, __m512i pairs, __m512i least)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  __m512i joined = _mm512_ternarylogic_epi32(low, nibbles, pairs, 0xca);
  return _mm512_add_epi8(_mm512_and_si512(joined, _mm512_set1_epi8(0x3f)), least);
}

__attribute__((always_inline)) static inline void
gem_avx512_chunk_decode_q6_k(const uint8_t *data, size_t panel, GemAvx512Chunk *chunk)
{
  const __m512i least = _mm512_set1_epi8((char)(GEM_AVX512_CHUNK_OFFSET - 32));
  for (size_t word = 0; word < 16; word++) {
    size_t group = word / 4;
    const uint8_t *nibbles = data + (word / 8 * 16 + word % 8) * 64;
    __m512i first = _mm512_loadu_si512(nibbles);
    __m512i second = _mm512_loadu_si512(nibbles + 8 * 64);
    __m512i pairs = _mm512_loadu_si512(data + 2048 + word * 64);
    __m512i *weights = &chunk->weights[group * 16 + word % 4][panel];
    const size_t quarter = 4 * (size_t)GEM_AVX512_CHUNK_PANELS;
    weights[0] = gem_avx512_chunk_six_bits(first, _mm512_slli_epi16(pairs, 4), least);
    weights[quarter] = gem_avx512_chunk_six_bits(second, _mm512_slli_epi16(pairs, 2), least);
    weights[2 * quarter] = gem_avx512_chunk_six_bits(_mm512_srli_epi16(first, 4), pairs, least);
    weights[3 * quarter] =
        gem_avx512_chunk_six_bits(_mm512_srli_epi16(second, 4), _mm512_srli_epi16(pairs, 2), least);
  }
  for (size_t sub = 0; sub < GEM_AVX512_CHUNK_SUBS; sub++) {
    chunk->whole_scales[sub][panel] = gem_avx512_whole_scales(data + 3072 + chunk->columns[sub]);
  }
  chunk->d[panel] = gem_avx512_scales(data + 3328);
}

/* The chunk at column `col` of `panels` panels from `first` on; chunk->next_nearest stays. `ahead` says how
 * far behind each of them the one stands that is decoded next. */
__attribute__((always_inline)) static inline void
gem_avx512_chunk_decode(
    const GemPacked *weights, size_t first, size_t panels, size_t col, size_t ahead, GemAvx512Chunk *chunk)
{
  size_t panel_bytes = gem_packed_panel_bytes(weights->type, weights->cols);
  size_t chunk_bytes = gem_packed_chunk_offset(weights->type, GEM_CHUNK_COLS);
  const uint8_t *data = weights->data + first * panel_bytes + col / GEM_CHUNK_COLS * chunk_bytes;
  size_t blocks = gem_packed_width(weights->cols, col) / 32;
  chunk->next_lines = chunk_bytes / 64;
  gem_avx512_chunk_describe(chunk, weights->type, blocks);
  for (size_t panel = 0; panel < panels; panel++, data += panel_bytes) {
    chunk->next[panel] = data + ahead;
    if (weights->type == GEM_TYPE_Q6_K) {
      gem_avx512_chunk_decode_q6_k(data, panel, chunk);
    } else if (weights->type == GEM_TYPE_Q8_0) {
      gem_avx512_chunk_decode_q8_0(data, blocks, panel, chunk);
    } else {
      gem_avx512_chunk_decode_q4_0(data, blocks, panel, chunk);
    }
  }
}
