/*
 * What products on the tile unit share. Tiles 0 .. 3 are sums, of up to 16 inputs with the 16 rows of a
 * panel; 4 and 5 are inputs, 6 and 7 weights. Sums of integers have no way from tiles to vectors but through
 * memory.
 *
 * Panels pass one after the other, each chunk by chunk, and each chunk is met with all tiles of inputs.
 * Results are kept near until the panel's last chunk. What comes next is decoded meanwhile.
 */
#pragma once

#include "kernels/avx512/gem-avx512.h"
#include "kernels/gem-tile-shapes.h"

enum {
  GEM_AVX512_TILE_INPUTS = GEM_TILE_ROWS, /* of one tile, at most */
  GEM_AVX512_SUM_TILES = 4,
  GEM_AVX512_MOST_TILES = 8 /* of inputs in a call: their results are kept near */
};

/* Up to 128 inputs with the panels of a matrix. */
typedef struct {
  const GemPacked *weights;
  GemInputs inputs;
  float *y;                  /* of the first input */
  size_t chunks;             /* of a panel */
  size_t tiles, tile_inputs; /* each tile has as many: the last has some of the one before */
  float totals[GEM_AVX512_MOST_TILES][GEM_AVX512_TILE_INPUTS][GEM_PANEL_ROWS]; /* of the chunks so far */
} GemAvx512TileCall;

/* A tile of inputs at a chunk of a panel: to = from + the inputs' scales times its sums. */
typedef struct {
  const int8_t *levels; /* of the first input, inputs.cols apart */
  const float *scales;  /* of the first input, `chunks` apart */
  const float *from;    /* of the first input, GEM_PANEL_ROWS apart; NULL: there is nothing yet */
  float *to;            /* of the first input, to_step apart */
  size_t to_step;
  __mmask16 lanes;
} GemAvx512Target;

/* A chunk among those of a call. */
typedef struct {
  size_t panel;
  size_t col;
} GemAvx512Place;

/* Matrices of Q6_K, and of blocks of 32 columns; panels first .. end - 1, at least one. */
void
gem_avx512_amx_linear_q6_k(GemAvx512TileCall *call, size_t first, size_t end);
void
gem_avx512_amx_linear_blocks(GemAvx512TileCall *call, size_t first, size_t end);

/* Tiles of up to `inputs` inputs by `cols` columns, and of as many columns in `words` words of 16 rows. */
static inline void
gem_avx512_tiles_shape(size_t inputs, size_t cols, size_t words)
{
  GemTileShape sums = {.rows = inputs, .row_bytes = GEM_TILE_ROW_BYTES};
  GemTileShape levels = {.rows = inputs, .row_bytes = cols};
  GemTileShape weights = {.rows = words, .row_bytes = GEM_TILE_ROW_BYTES};
  gem_tile_shapes_load((GemTileShape[]){sums, sums, sums, sums, levels, levels, weights, weights});
}

/* Tiles are loaded by code that the compiler does not see into: without this, what was written for them might
 * not be there yet. */
#define GEM_AVX512_TILES_LOOK_AT(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

/* Tile `tile` of sums, a constant to the compiler. */
__attribute__((always_inline)) static inline void
gem_avx512_tile_store(size_t tile, __m512i *sums)
{
  if (tile == 0) {
    _tile_stored(0, sums, GEM_TILE_ROW_BYTES);
  } else if (tile == 1) {
    _tile_stored(1, sums, GEM_TILE_ROW_BYTES);
  } else if (tile == 2) {
    _tile_stored(2, sums, GEM_TILE_ROW_BYTES);
  } else {
    _tile_stored(3, sums, GEM_TILE_ROW_BYTES);
  }
}

static inline void
gem_avx512_tile_aim(GemAvx512TileCall *call, GemAvx512Place place, size_t tile, GemAvx512Target *target)
{
  size_t n = call->inputs.n, cols = call->inputs.cols, rows = call->weights->rows;
  size_t start = tile * call->tile_inputs;
  start = start < n - call->tile_inputs ? start : n - call->tile_inputs;
  bool is_last = place.col + GEM_CHUNK_COLS >= cols;
  float *totals = call->totals[tile][0];
  target->levels = call->inputs.levels + start * cols + place.col;
  target->scales = call->inputs.scales + start * call->chunks + place.col / GEM_CHUNK_COLS;
  target->from = place.col > 0 ? totals : NULL;
  target->to = is_last ? call->y + start * rows + place.panel * GEM_PANEL_ROWS : totals;
  target->to_step = is_last ? rows : GEM_PANEL_ROWS;
  target->lanes = is_last ? gem_avx512_lanes(call->weights, place.panel) : 0xffff;
}

/* Results of input i of a target, whose sums are f. */
__attribute__((always_inline)) static inline void
gem_avx512_target_add(const GemAvx512Target *target, size_t chunks, size_t i, __m512 f)
{
  __m512 sum =
      target->from == NULL ? _mm512_setzero_ps() : _mm512_loadu_ps(target->from + i * GEM_PANEL_ROWS);
  sum = _mm512_fmadd_ps(_mm512_set1_ps(target->scales[i * chunks]), f, sum);
  _mm512_mask_storeu_ps(target->to + i * target->to_step, target->lanes, sum);
}

/* The chunk after that one; of the panel behind the last there is none. */
static inline GemAvx512Place
gem_avx512_place_next(GemAvx512Place place, size_t cols)
{
  place.col += GEM_CHUNK_COLS;
  return place.col < cols ? place : (GemAvx512Place){.panel = place.panel + 1};
}
