/*
 * Many inputs: bound by arithmetic. A chunk of two panels is decoded once, to 8-bit weights with one offset
 * for all types, and met with tiles of up to 8 inputs: 16 sums of integers stay in registers, the 16
 * that they go to after each sub-block, of floats or (Q6_K) of integers, in the first-level cache. (Tiles of
 * 6, which leave room for both, are 7 to 10 % slower.) What comes next is asked for meanwhile, of Q8_0 on
 * AMD's into the second-level cache: a Zen 4 was up to a third slower with its chunks, the largest, in the
 * first (docs/performance.md).
 */
#include "kernels/avx512/gem-avx512-chunk.h"

#define MOST_PANELS GEM_AVX512_CHUNK_PANELS
#define MOST_SUBS   GEM_AVX512_CHUNK_SUBS
#define MOST_INPUTS 8

#define OFFSET_SHIFT 7 /* 1 << this is GEM_AVX512_CHUNK_OFFSET */

/* A tile: its inputs' levels at the chunk, and what they start each sub-block's sum with. */
typedef struct {
  const int8_t *levels; /* of the first input, at the chunk */
  size_t cols;          /* from one input to the next */
  int32_t starts[MOST_INPUTS][MOST_SUBS];
} Tile;

/* Less 128 times the sum of the levels. For sub-blocks of 32 columns every second start is used. */
static inline void
start_tile(Tile *tile, const GemInputs *inputs, size_t first, size_t n, size_t col, size_t sub_words)
{
  tile->levels = inputs->levels + first * inputs->cols + col;
  tile->cols = inputs->cols;
  for (size_t i = 0; i < n; i++) {
    const int32_t *stored = inputs->sums + ((first + i) * inputs->cols + col) / GEM_SUM_COLS;
    __m512i sums = gem_avx512_sums(stored, gem_packed_width(inputs->cols, col));
    if (sub_words == 8) {
      sums = gem_avx512_pair_sums(sums);
    }
    sums = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, OFFSET_SHIFT));
    _mm512_storeu_si512(tile->starts[i], sums);
  }
}

/* The sum of one sub-block's products; all counts are constants to the compiler, and the sums stay in
 * registers. */
__attribute__((always_inline)) static inline void
multiply_words(const __m512i (*weights)[MOST_PANELS],
               const int8_t *levels,
               size_t cols,
               size_t words,
               size_t panels,
               size_t n,
               __m512i (*sums)[MOST_INPUTS])
{
  /* Four registers address eight inputs. The compiler would keep an address for each, some of them in memory,
   * and load it before every load of levels: hidden from it, these stay as they are. */
  const int8_t *half[2] = {levels, levels + 4 * cols};
  size_t third = 3 * cols;
  __asm__("" : "+r"(half[0]), "+r"(half[1]), "+r"(third), "+r"(cols));
#pragma GCC unroll 8
  for (size_t word = 0; word < words; word++) {
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      __m512i input = gem_avx512_levels(half[i / 4] + (i % 4 == 3 ? third : i % 4 * cols) + word * 4);
#pragma GCC unroll 2
      for (size_t panel = 0; panel < panels; panel++) {
        sums[panel][i] = _mm512_dpbusd_epi32(sums[panel][i], weights[word][panel], input);
      }
    }
  }
}

/* Asks for the part of the following chunks that belongs to a sub-block: they come from memory while this one
 * is met with its first inputs. All at once would be more than the processor can wait for. Past the end it
 * asks for nothing. */
__attribute__((always_inline)) static inline void
ask_ahead(const GemAvx512Chunk *chunk, size_t sub, size_t panels)
{
  size_t end = (sub + 1) * chunk->next_lines / chunk->subs;
  for (size_t line = sub * chunk->next_lines / chunk->subs; line < end; line++) {
#pragma GCC unroll 2
    for (size_t panel = 0; panel < panels; panel++) {
      const char *at = (const char *)(chunk->next[panel] + line * 64);
      if (chunk->next_nearest) {
        _mm_prefetch(at, _MM_HINT_T0);
      } else {
        _mm_prefetch(at, _MM_HINT_T1);
      }
    }
  }
}

/* sums[panels][n] = the products of sub-block `sub`. */
__attribute__((always_inline)) static inline void
multiply_sub(const GemAvx512Chunk *chunk,
             const Tile *tile,
             size_t sub,
             size_t words,
             size_t panels,
             size_t n,
             __m512i (*sums)[MOST_INPUTS])
{
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    sums[0][i] = sums[1][i] = _mm512_set1_epi32(tile->starts[i][chunk->columns[sub] / GEM_SUM_COLS]);
  }
  multiply_words(chunk->weights + sub * words, tile->levels + chunk->columns[sub], tile->cols, words, panels,
                 n, sums);
}

/* f[panels][n] = one chunk of blocks of 32 columns. */
__attribute__((always_inline)) static inline void
multiply_blocks(const GemAvx512Chunk *chunk,
                const Tile *tile,
                bool is_first,
                size_t panels,
                size_t n,
                __m512 (*f)[MOST_INPUTS])
{
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    f[0][i] = f[1][i] = _mm512_setzero_ps();
  }
  for (size_t sub = 0; sub < chunk->subs; sub++) {
    __m512i sums[MOST_PANELS][MOST_INPUTS];
    if (is_first) {
      ask_ahead(chunk, sub, panels);
    }
    multiply_sub(chunk, tile, sub, 8, panels, n, sums);
#pragma GCC unroll 2
    for (size_t panel = 0; panel < panels; panel++) {
      __m512 scale = chunk->scales[sub][panel];
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        f[panel][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[panel][i]), scale, f[panel][i]);
      }
    }
  }
}

/* The same of Q6_K, whose sums are whole up to the end. */
__attribute__((always_inline)) static inline void
multiply_q6_k(const GemAvx512Chunk *chunk,
              const Tile *tile,
              bool is_first,
              size_t panels,
              size_t n,
              __m512 (*f)[MOST_INPUTS])
{
  __m512i totals[MOST_PANELS][MOST_INPUTS];
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    totals[0][i] = totals[1][i] = _mm512_setzero_si512();
  }
  for (size_t sub = 0; sub < chunk->subs; sub++) {
    __m512i sums[MOST_PANELS][MOST_INPUTS];
    if (is_first) {
      ask_ahead(chunk, sub, panels);
    }
    multiply_sub(chunk, tile, sub, 4, panels, n, sums);
#pragma GCC unroll 2
    for (size_t panel = 0; panel < panels; panel++) {
      __m512i scale = chunk->whole_scales[sub][panel];
#pragma GCC unroll 8
      for (size_t i = 0; i < n; i++) {
        totals[panel][i] = _mm512_add_epi32(totals[panel][i], _mm512_mullo_epi32(sums[panel][i], scale));
      }
    }
  }
#pragma GCC unroll 2
  for (size_t panel = 0; panel < panels; panel++) {
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
      f[panel][i] = _mm512_mul_ps(chunk->d[panel], _mm512_cvtepi32_ps(totals[panel][i]));
    }
  }
}

/* Where a tile's results go. */
typedef struct {
  const GemInputs *inputs;
  size_t first; /* input */
  size_t col;   /* of the chunk */
  float *y;     /* of the first input, at the first panel's rows */
  size_t rows;  /* from one input to the next */
  __mmask16 lanes[MOST_PANELS];
} Target;

__attribute__((always_inline)) static inline void
run_tile(const GemAvx512Chunk *chunk, const Target *target, size_t panels, size_t n)
{
  Tile tile;
  __m512 f[MOST_PANELS][MOST_INPUTS];
  size_t chunks = gem_packed_chunks(target->inputs->cols);
  start_tile(&tile, target->inputs, target->first, n, target->col, chunk->sub_words);
  if (chunk->sub_words == 8) {
    multiply_blocks(chunk, &tile, target->first == 0, panels, n, f);
  } else {
    multiply_q6_k(chunk, &tile, target->first == 0, panels, n, f);
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < n; i++) {
    size_t input = target->first + i;
    __m512 scale = _mm512_set1_ps(target->inputs->scales[input * chunks + target->col / GEM_CHUNK_COLS]);
#pragma GCC unroll 2
    for (size_t panel = 0; panel < panels; panel++) {
      float *y = target->y + i * target->rows + panel * GEM_PANEL_ROWS;
      __mmask16 lanes = target->lanes[panel];
      __m512 sum = target->col > 0 ? _mm512_maskz_loadu_ps(lanes, y) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(y, lanes, _mm512_fmadd_ps(scale, f[panel][i], sum));
    }
  }
}

#define TILE(panels, n)                                                                                      \
  static void tile_##panels##_##n(const GemAvx512Chunk *chunk, const Target *target)                         \
  {                                                                                                          \
    run_tile(chunk, target, panels, n);                                                                      \
  }
TILE(1, 1)
TILE(1, 2)
TILE(1, 3)
TILE(1, 4)
TILE(1, 5)
TILE(1, 6)
TILE(1, 7)
TILE(1, 8)
TILE(2, 1)
TILE(2, 2)
TILE(2, 3)
TILE(2, 4)
TILE(2, 5)
TILE(2, 6)
TILE(2, 7)
TILE(2, 8)

typedef void (*TileFunction)(const GemAvx512Chunk *chunk, const Target *target);
static const TileFunction tiles[MOST_PANELS][MOST_INPUTS] = {
    {tile_1_1, tile_1_2, tile_1_3, tile_1_4, tile_1_5, tile_1_6, tile_1_7, tile_1_8},
    {tile_2_1, tile_2_2, tile_2_3, tile_2_4, tile_2_5, tile_2_6, tile_2_7, tile_2_8},
};

/* How far behind a chunk the one stands that is decoded next: the panel's next, or after the last the first
 * of the panels that follow. */
static size_t
next_chunk(const GemPacked *weights, size_t panels, size_t col)
{
  size_t chunk_bytes = gem_packed_chunk_offset(weights->type, GEM_CHUNK_COLS);
  return col + GEM_CHUNK_COLS < weights->cols
             ? chunk_bytes
             : panels * gem_packed_panel_bytes(weights->type, weights->cols) -
                   col / GEM_CHUNK_COLS * chunk_bytes;
}

static void
run_panels(const GemPacked *weights,
           size_t panel,
           size_t panels,
           const GemInputs *inputs,
           bool next_nearest,
           float *y)
{
  GemAvx512Chunk chunk;
  chunk.next_nearest = next_nearest;
  Target target = {.inputs = inputs, .rows = weights->rows};
  /* As many tiles as are needed, all about as large. */
  size_t n_tiles = (inputs->n + MOST_INPUTS - 1) / MOST_INPUTS;
  for (size_t p = 0; p < panels; p++) {
    target.lanes[p] = gem_avx512_lanes(weights, panel + p);
  }
  for (size_t col = 0; col < weights->cols; col += GEM_CHUNK_COLS) {
    gem_avx512_chunk_decode(weights, panel, panels, col, next_chunk(weights, panels, col), &chunk);
    target.col = col;
    for (size_t tile = 0; tile < n_tiles; tile++) {
      size_t end = inputs->n * (tile + 1) / n_tiles;
      target.first = inputs->n * tile / n_tiles;
      target.y = y + target.first * weights->rows + panel * GEM_PANEL_ROWS;
      tiles[panels - 1][end - target.first - 1](&chunk, &target);
    }
  }
}

void
gem_avx512_linear_many(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y)
{
  run_panels(weights, panel, panels, inputs, true, y);
}

void
gem_avx512_linear_many_amd(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y)
{
  run_panels(weights, panel, panels, inputs, weights->type != GEM_TYPE_Q8_0, y);
}
