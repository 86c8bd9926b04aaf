/*
 * A few inputs: bound by the bytes of the weights, so they are decoded in registers as they come, and met
 * with all inputs there. Only the chain of sums runs from block to block; the processor overlaps the rest
 * by itself. Intel's cannot hold enough instructions to read far ahead, though, so that the chunk that
 * follows is asked for: with one input a third faster for Q4_0 and two thirds for Q6_K when memory is slow. A
 * Zen 4 can, but by itself it reads ahead within a page and no further: what lies some pages on is asked for,
 * or, of Q8_0 with one input, whose walk is the plainest, where each page begins. It fetches a vector, or a
 * level for all rows, in each cycle and no more, so that with one input two panels of Q4_0 share the levels
 * (docs/performance.md).
 */
#include "kernels/avx512/gem-avx512.h"

#define MOST_FEW GEM_AVX512_FEW_AMD
/* Of a block of 32 columns in two panels of Q4_0, scales and all. */
#define PAIR_BLOCK_BYTES (2u * GEM_Q4_0_CHUNK_BYTES / 8u)

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

/* A few inputs at one chunk. Weights are without sign, larger by 1 << bits than they should be: what the sums
 * of the products of each sub-block start with makes up for it. */
typedef struct {
  const int8_t *levels; /* of the first input */
  size_t cols;          /* from one input to the next */
  int32_t starts[MOST_FEW][16];
} Tile;

/* The starts are of sub-blocks of 32 columns, each twice, or of 16. */
ALWAYS_INLINE void
start_tile(Tile *tile, GemType type, const GemInputs *inputs, size_t n, size_t col)
{
  unsigned bits = type == GEM_TYPE_Q4_0 ? 3 : type == GEM_TYPE_Q6_K ? 5 : 7;
  tile->levels = inputs->levels + col;
  tile->cols = inputs->cols;
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    const int32_t *stored = inputs->sums + (i * inputs->cols + col) / GEM_SUM_COLS;
    __m512i sums = gem_avx512_sums(stored, gem_packed_width(inputs->cols, col));
    if (type != GEM_TYPE_Q6_K) {
      sums = gem_avx512_pair_sums(sums);
    }
    sums = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, bits));
    _mm512_storeu_si512(tile->starts[i], sums);
  }
}

/* Four levels of input i, from `at` of the chunk on, for all rows. */
ALWAYS_INLINE __m512i
levels_at(const Tile *tile, size_t i, size_t at)
{
  return gem_avx512_levels(tile->levels + i * tile->cols + at);
}

/* f[n] += the chunk. High nibbles are kept where they are, 16 times too large, and moved once a block. */
ALWAYS_INLINE void
q4_0_chunk(const uint8_t *data, size_t width, const Tile *tile, size_t n, GemAhead ahead, __m512 *f)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  size_t blocks = width / 32;
  const uint8_t *chunk = data;
  const uint8_t *scales = data + blocks * 256;
  for (size_t block = 0; block < blocks; block++, data += 256) {
    __m512i lows[MOST_FEW];
    __m512i highs[MOST_FEW];
    gem_packed_ask_ahead(GEM_TYPE_Q4_0, chunk, block, 8, ahead);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      lows[i] = _mm512_set1_epi32(tile->starts[i][block * 2]);
      highs[i] = _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (size_t word = 0; word < 4; word++) {
      __m512i nibbles = load(data + word * 64);
      __m512i first = _mm512_and_si512(nibbles, low);
      __m512i second = _mm512_andnot_si512(low, nibbles);
      size_t at = block * 32 + word * 4;
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        lows[i] = _mm512_dpbusd_epi32(lows[i], first, levels_at(tile, i, at));
        highs[i] = _mm512_dpbusd_epi32(highs[i], second, levels_at(tile, i, at + 16));
      }
    }
    __m512 scale = gem_avx512_scales(scales + block * 32);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      f[i] = add_block(f[i], _mm512_add_epi32(lows[i], _mm512_srai_epi32(highs[i], 4)), scale);
    }
  }
}

/* One input at a chunk of two panels, whose walks are one on the whole: f[2] += the chunks. `ahead` is what
 * is asked for meanwhile, as much as both chunks are. */
ALWAYS_INLINE void
q4_0_chunk_pair(
    const uint8_t *const data[2], size_t width, const Tile *tile, const uint8_t *ahead, __m512 f[2])
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  size_t blocks = width / 32;
  for (size_t block = 0; block < blocks; block++) {
    __m512i lows[2];
    __m512i highs[2];
    gem_packed_ask(ahead + block * PAIR_BLOCK_BYTES, PAIR_BLOCK_BYTES, GEM_AHEAD_FAR);
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; p++) {
      lows[p] = _mm512_set1_epi32(tile->starts[0][block * 2]);
      highs[p] = _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (size_t word = 0; word < 4; word++) {
      size_t at = block * 32 + word * 4;
      __m512i first = levels_at(tile, 0, at);
      __m512i second = levels_at(tile, 0, at + 16);
#pragma GCC unroll 2
      for (size_t p = 0; p < 2; p++) {
        __m512i nibbles = load(data[p] + block * 256 + word * 64);
        lows[p] = _mm512_dpbusd_epi32(lows[p], _mm512_and_si512(nibbles, low), first);
        highs[p] = _mm512_dpbusd_epi32(highs[p], _mm512_andnot_si512(low, nibbles), second);
      }
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; p++) {
      __m512 scale = gem_avx512_scales(data[p] + blocks * 256 + block * 32);
      f[p] = add_block(f[p], _mm512_add_epi32(lows[p], _mm512_srai_epi32(highs[p], 4)), scale);
    }
  }
}

ALWAYS_INLINE void
q8_0_chunk(const uint8_t *data, size_t width, const Tile *tile, size_t n, GemAhead ahead, __m512 *f)
{
  const __m512i sign = _mm512_set1_epi8((char)0x80);
  size_t blocks = width / 32;
  const uint8_t *chunk = data;
  const uint8_t *scales = data + blocks * 512;
  for (size_t block = 0; block < blocks; block++, data += 512) {
    __m512i even[MOST_FEW];
    __m512i odd[MOST_FEW];
    gem_packed_ask_ahead(GEM_TYPE_Q8_0, chunk, block, 8, ahead);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      even[i] = _mm512_set1_epi32(tile->starts[i][block * 2]);
      odd[i] = _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (size_t word = 0; word < 8; word += 2) {
      __m512i first = _mm512_xor_si512(load(data + word * 64), sign);
      __m512i second = _mm512_xor_si512(load(data + word * 64 + 64), sign);
      size_t at = block * 32 + word * 4;
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        even[i] = _mm512_dpbusd_epi32(even[i], first, levels_at(tile, i, at));
        odd[i] = _mm512_dpbusd_epi32(odd[i], second, levels_at(tile, i, at + 4));
      }
    }
    __m512 scale = gem_avx512_scales(scales + block * 32);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      f[i] = add_block(f[i], _mm512_add_epi32(even[i], odd[i]), scale);
    }
  }
}

/* Bits 4 and 5 of `pairs` above the low nibbles of `nibbles`; what else the two hold is dropped. */
static inline __m512i
six_bits(__m512i nibbles, __m512i pairs)
{
  const __m512i low = _mm512_set1_epi8(0x0f);
  __m512i joined = _mm512_ternarylogic_epi32(low, nibbles, pairs, 0xca);
  return _mm512_and_si512(joined, _mm512_set1_epi8(0x3f));
}

/* Where the parts of a quarter of a Q6_K chunk are: four words of nibbles and four of those 32 columns on,
 * four words of pairs for both. */
typedef struct {
  const uint8_t *nibbles, *pairs;
  size_t columns; /* the first of the quarter's */
} Quarter;

/* Four words of pairs are four sub-blocks of 16 columns, 32 columns apart: sums[part][i] are their products
 * on top of their starts, of which the first is starts[first_sub]. */
ALWAYS_INLINE void
q6_k_quarter(const Quarter *quarter, size_t first_sub, const Tile *tile, size_t n, __m512i (*sums)[MOST_FEW])
{
#pragma GCC unroll 4
  for (size_t part = 0; part < 4; part++) {
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      sums[part][i] = _mm512_set1_epi32(tile->starts[i][first_sub + part * 2]);
    }
  }
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++) {
    __m512i first = load(quarter->nibbles + word * 64);
    __m512i second = load(quarter->nibbles + (8 + word) * 64);
    __m512i high = load(quarter->pairs + word * 64);
    __m512i weights[4] = {six_bits(first, _mm512_slli_epi16(high, 4)),
                          six_bits(second, _mm512_slli_epi16(high, 2)),
                          six_bits(_mm512_srli_epi16(first, 4), high),
                          six_bits(_mm512_srli_epi16(second, 4), _mm512_srli_epi16(high, 2))};
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        __m512i levels = levels_at(tile, i, quarter->columns + part * 32 + word * 4);
        sums[part][i] = _mm512_dpbusd_epi32(sums[part][i], weights[part], levels);
      }
    }
  }
}

/* Scales are whole, and so are the sums of a chunk, less d. */
ALWAYS_INLINE void
q6_k_chunk(const uint8_t *data, const Tile *tile, size_t n, GemAhead ahead, __m512 *f)
{
  const uint8_t *scales = data + 3072;
  __m512i totals[MOST_FEW];
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    totals[i] = _mm512_setzero_si512();
  }
  for (size_t group = 0; group < 4; group++) {
    size_t half = group / 2;
    size_t part_of_half = group % 2;
    __m512i sums[4][MOST_FEW];
    Quarter quarter = {
        .nibbles = data + (half * 16 + part_of_half * 4) * 64,
        .pairs = data + 2048 + group * 256,
        .columns = half * 128 + part_of_half * 16,
    };
    gem_packed_ask_ahead(GEM_TYPE_Q6_K, data, group, 4, ahead);
    q6_k_quarter(&quarter, half * 8 + part_of_half, tile, n, sums);
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
      size_t sub = half * 8 + part * 2 + part_of_half; /* in the order of columns */
      __m512i scale = gem_avx512_whole_scales(scales + sub * GEM_PANEL_ROWS);
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        totals[i] = _mm512_add_epi32(totals[i], _mm512_mullo_epi32(sums[part][i], scale));
      }
    }
  }
  __m512 d = gem_avx512_scales(data + 3328);
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    f[i] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(totals[i]));
  }
}

/* All chunks of one panel; `type`, `ahead` and `n` are constants to the compiler. */
ALWAYS_INLINE void
run_panel(GemType type,
          GemAhead ahead,
          const GemPacked *weights,
          size_t panel,
          const GemInputs *inputs,
          size_t n,
          float *y)
{
  size_t cols = weights->cols;
  size_t chunks = gem_packed_chunks(cols);
  const uint8_t *data = weights->data + panel * gem_packed_panel_bytes(type, cols);
  __m512 sum[MOST_FEW];
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    sum[i] = _mm512_setzero_ps();
  }
  for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
    size_t width = gem_packed_width(cols, col);
    const uint8_t *chunk = data + gem_packed_chunk_offset(type, col);
    __m512 f[MOST_FEW];
    Tile tile;
    start_tile(&tile, type, inputs, n, col);
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      f[i] = _mm512_setzero_ps();
    }
    if (type == GEM_TYPE_Q4_0) {
      q4_0_chunk(chunk, width, &tile, n, ahead, f);
    } else if (type == GEM_TYPE_Q8_0) {
      q8_0_chunk(chunk, width, &tile, n, ahead, f);
    } else {
      q6_k_chunk(chunk, &tile, n, ahead, f);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      sum[i] =
          _mm512_fmadd_ps(_mm512_set1_ps(inputs->scales[i * chunks + col / GEM_CHUNK_COLS]), f[i], sum[i]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    _mm512_mask_storeu_ps(y + i * weights->rows, gem_avx512_lanes(weights, panel), sum[i]);
  }
}

void
gem_avx512_linear_pair_amd(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  size_t cols = weights->cols;
  size_t bytes = gem_packed_panel_bytes(GEM_TYPE_Q4_0, cols);
  const uint8_t *data = weights->data + panel * bytes;
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
    size_t offset = gem_packed_chunk_offset(GEM_TYPE_Q4_0, col);
    const uint8_t *const chunks[2] = {data + offset, data + bytes + offset};
    __m512 f[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512 scale = _mm512_set1_ps(inputs->scales[col / GEM_CHUNK_COLS]);
    Tile tile;
    start_tile(&tile, GEM_TYPE_Q4_0, inputs, 1, col);
    q4_0_chunk_pair(chunks, gem_packed_width(cols, col), &tile, data + 2 * offset + GEM_AHEAD_FAR_BYTES, f);
    sum[0] = _mm512_fmadd_ps(scale, f[0], sum[0]);
    sum[1] = _mm512_fmadd_ps(scale, f[1], sum[1]);
  }
  _mm512_storeu_ps(y, sum[0]);
  _mm512_mask_storeu_ps(y + GEM_PANEL_ROWS, gem_avx512_lanes(weights, panel + 1), sum[1]);
}

/* As run_panel, with a way of asking for each type. */
ALWAYS_INLINE void
run_type(GemAhead q4_0,
         GemAhead q6_k,
         GemAhead q8_0,
         const GemPacked *weights,
         size_t panel,
         const GemInputs *inputs,
         size_t n,
         float *y)
{
  if (weights->type == GEM_TYPE_Q4_0) {
    run_panel(GEM_TYPE_Q4_0, q4_0, weights, panel, inputs, n, y);
  } else if (weights->type == GEM_TYPE_Q8_0) {
    run_panel(GEM_TYPE_Q8_0, q8_0, weights, panel, inputs, n, y);
  } else {
    run_panel(GEM_TYPE_Q6_K, q6_k, weights, panel, inputs, n, y);
  }
}

typedef void (*FewFunction)(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);

/* One function for each number of inputs keeps the sums in registers. */
#define FEW(n)                                                                                               \
  static void few_##n(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)             \
  {                                                                                                          \
    run_type(GEM_AHEAD_NEXT, GEM_AHEAD_NEXT, GEM_AHEAD_NEXT, weights, panel, inputs, n, y);                  \
  }
FEW(1)
FEW(2)
FEW(3)
FEW(4)

void
gem_avx512_linear_few(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  static const FewFunction few[GEM_AVX512_FEW] = {few_1, few_2, few_3, few_4};
  few[inputs->n - 1](weights, panel, inputs, y);
}

#define FEW_AMD(n)                                                                                           \
  static void few_amd_##n(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)         \
  {                                                                                                          \
    const GemAhead q8_0 = n == 1 ? GEM_AHEAD_PAGE : GEM_AHEAD_FAR;                                           \
    run_type(GEM_AHEAD_FAR, GEM_AHEAD_FAR, q8_0, weights, panel, inputs, n, y);                              \
  }
FEW_AMD(1)
FEW_AMD(2)
FEW_AMD(3)
FEW_AMD(4)
FEW_AMD(5)
FEW_AMD(6)
FEW_AMD(7)
FEW_AMD(8)

void
gem_avx512_linear_few_amd(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  static const FewFunction few[GEM_AVX512_FEW_AMD] = {few_amd_1, few_amd_2, few_amd_3, few_amd_4,
                                                      few_amd_5, few_amd_6, few_amd_7, few_amd_8};
  few[inputs->n - 1](weights, panel, inputs, y);
}
