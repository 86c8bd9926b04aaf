/*
 * One input: bound by the bytes of the weights, so they are decoded in registers as they come. Only the chain
 * of float sums runs from block to block; the processor overlaps the rest by itself. Intel's cannot hold
 * enough instructions to read far ahead, though, so that the chunk that follows is asked for: a third faster
 * for Q4_0 and two thirds for Q6_K when memory is slow. A Zen 4 reads ahead of a walk straight on, and asking
 * is in its way; of Q6_K's, which goes to and fro within a chunk, it does not (docs/performance.md).
 */
#include "kernels/avx512/gem-avx512.h"

/* For steps that must see constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline __m512i
load(const uint8_t *bytes)
{
  return _mm512_loadu_si512(bytes);
}

/* f + (float)sum * scale. */
static inline __m512
add_block(__m512 f, __m512i sum, __m512 scale)
{
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, f);
}

/* Weights are without sign, larger by 1 << bits than they should be: what the sums of the products of each
 * sub-block start with to make up for it, from the sums of its levels. */
static inline void
store_starts(int32_t starts[16], __m512i sums, unsigned bits)
{
  _mm512_storeu_si512(starts, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, bits)));
}

/* High nibbles are kept where they are, 16 times too large, and moved once a block. */
ALWAYS_INLINE __m512
q4_0_chunk(const uint8_t *data, size_t width, const int8_t *levels, __m512i sums, GemAhead ahead)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  size_t blocks = width / 32;
  const uint8_t *chunk = data;
  const uint8_t *scales = data + blocks * 256;
  int32_t starts[16];
  __m512 f = _mm512_setzero_ps();
  store_starts(starts, gem_avx512_pair_sums(sums), 3);
  for (size_t block = 0; block < blocks; block++, data += 256, levels += 32) {
    gem_packed_ask_ahead(GEM_TYPE_Q4_0, chunk, block, 8, ahead);
    __m512i lows = _mm512_set1_epi32(starts[block * 2]);
    __m512i highs = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t word = 0; word < 4; word++) {
      __m512i nibbles = load(data + word * 64);
      lows = _mm512_dpbusd_epi32(lows, _mm512_and_si512(nibbles, low), gem_avx512_levels(levels + word * 4));
      highs = _mm512_dpbusd_epi32(highs, _mm512_andnot_si512(low, nibbles),
                                  gem_avx512_levels(levels + 16 + word * 4));
    }
    __m512i sum = _mm512_add_epi32(lows, _mm512_srai_epi32(highs, 4));
    f = add_block(f, sum, gem_avx512_scales(scales + block * 32));
  }
  return f;
}

ALWAYS_INLINE __m512
q8_0_chunk(const uint8_t *data, size_t width, const int8_t *levels, __m512i sums, GemAhead ahead)
{
  const __m512i sign = _mm512_set1_epi8((char)0x80);
  size_t blocks = width / 32;
  const uint8_t *chunk = data;
  const uint8_t *scales = data + blocks * 512;
  int32_t starts[16];
  __m512 f = _mm512_setzero_ps();
  store_starts(starts, gem_avx512_pair_sums(sums), 7);
  for (size_t block = 0; block < blocks; block++, data += 512, levels += 32) {
    gem_packed_ask_ahead(GEM_TYPE_Q8_0, chunk, block, 8, ahead);
    __m512i even = _mm512_set1_epi32(starts[block * 2]);
    __m512i odd = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t word = 0; word < 8; word += 2) {
      even = _mm512_dpbusd_epi32(even, _mm512_xor_si512(load(data + word * 64), sign),
                                 gem_avx512_levels(levels + word * 4));
      odd = _mm512_dpbusd_epi32(odd, _mm512_xor_si512(load(data + word * 64 + 64), sign),
                                gem_avx512_levels(levels + word * 4 + 4));
    }
    f = add_block(f, _mm512_add_epi32(even, odd), gem_avx512_scales(scales + block * 32));
  }
  return f;
}

/* Bits 4 and 5 of `pairs` above the low nibbles of `nibbles`; what else the two hold is dropped. */
static inline __m512i
six_bits(__m512i nibbles, __m512i pairs)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  __m512i joined = _mm512_ternarylogic_epi32(low, nibbles, pairs, 0xca);
  return _mm512_and_si512(joined, _mm512_set1_epi8(0x3f));
}

/* Four words of pairs are four sub-blocks of 16 columns, 32 columns apart: `sums` are their products on top
 * of starts[0], [2], [4] and [6]. */
static inline void
q6_k_group(
    const uint8_t *nibbles, const uint8_t *pairs, const int8_t *levels, const int32_t *starts, __m512i *sums)
{
#pragma GCC unroll 4
  for (size_t part = 0; part < 4; part++) {
    sums[part] = _mm512_set1_epi32(starts[part * 2]);
  }
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++, levels += 4) {
    __m512i first = load(nibbles + word * 64);
    __m512i second = load(nibbles + (8 + word) * 64);
    __m512i high = load(pairs + word * 64);
    sums[0] =
        _mm512_dpbusd_epi32(sums[0], six_bits(first, _mm512_slli_epi16(high, 4)), gem_avx512_levels(levels));
    sums[1] = _mm512_dpbusd_epi32(sums[1], six_bits(second, _mm512_slli_epi16(high, 2)),
                                  gem_avx512_levels(levels + 32));
    sums[2] = _mm512_dpbusd_epi32(sums[2], six_bits(_mm512_srli_epi16(first, 4), high),
                                  gem_avx512_levels(levels + 64));
    sums[3] = _mm512_dpbusd_epi32(sums[3], six_bits(_mm512_srli_epi16(second, 4), _mm512_srli_epi16(high, 2)),
                                  gem_avx512_levels(levels + 96));
  }
}

ALWAYS_INLINE __m512
q6_k_chunk(const uint8_t *data, size_t width, const int8_t *levels, __m512i sums, GemAhead ahead)
{
  const uint8_t *pairs = data + 2048;
  const uint8_t *scales = data + 3072;
  __m512 d = gem_avx512_scales(data + 3328);
  int32_t starts[16];
  __m512 f = _mm512_setzero_ps();
  store_starts(starts, sums, 5);
  for (size_t group = 0; group < 4; group++) {
    size_t half = group / 2;
    size_t part_of_half = group % 2;
    __m512i products[4];
    gem_packed_ask_ahead(GEM_TYPE_Q6_K, data, group, 4, ahead);
    q6_k_group(data + (half * 16 + part_of_half * 4) * 64, pairs + group * 256,
               levels + half * 128 + part_of_half * 16, starts + half * 8 + part_of_half, products);
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
      size_t sub = half * 8 + part * 2 + part_of_half; /* in the order of columns */
      __m512i scale =
          _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scales + sub * 16)));
      f = add_block(f, products[part], _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)));
    }
  }
  return f;
}

typedef __m512 (*ChunkFunction)(
    const uint8_t *data, size_t width, const int8_t *levels, __m512i sums, GemAhead ahead);

/* All chunks of one panel; `chunk` and `ahead` are constants to the compiler. */
ALWAYS_INLINE void
run_panel(ChunkFunction chunk,
          GemAhead ahead,
          const GemPacked *weights,
          size_t panel,
          const GemInputs *inputs,
          float *y)
{
  size_t cols = weights->cols;
  const uint8_t *data = weights->data + panel * gem_packed_panel_bytes(weights->type, cols);
  __m512 sum = _mm512_setzero_ps();
  for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
    size_t width = gem_packed_width(cols, col);
    __m512i sums = gem_avx512_sums(inputs->sums + col / GEM_SUM_COLS, width);
    __m512 f =
        chunk(data + gem_packed_chunk_offset(weights->type, col), width, inputs->levels + col, sums, ahead);
    sum = _mm512_fmadd_ps(_mm512_set1_ps(inputs->scales[col / GEM_CHUNK_COLS]), f, sum);
  }
  _mm512_mask_storeu_ps(y, gem_avx512_lanes(weights, panel), sum);
}

void
gem_avx512_linear_single(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  if (weights->type == GEM_TYPE_Q4_0) {
    run_panel(q4_0_chunk, GEM_AHEAD_NEXT, weights, panel, inputs, y);
  } else if (weights->type == GEM_TYPE_Q8_0) {
    run_panel(q8_0_chunk, GEM_AHEAD_NEXT, weights, panel, inputs, y);
  } else {
    run_panel(q6_k_chunk, GEM_AHEAD_NEXT, weights, panel, inputs, y);
  }
}

void
gem_avx512_linear_single_amd(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  if (weights->type == GEM_TYPE_Q4_0) {
    run_panel(q4_0_chunk, GEM_AHEAD_NONE, weights, panel, inputs, y);
  } else if (weights->type == GEM_TYPE_Q8_0) {
    run_panel(q8_0_chunk, GEM_AHEAD_NONE, weights, panel, inputs, y);
  } else {
    run_panel(q6_k_chunk, GEM_AHEAD_FAR, weights, panel, inputs, y);
  }
}
