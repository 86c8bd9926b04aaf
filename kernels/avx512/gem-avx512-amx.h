/*
 * What products on the tile unit share. Tiles 0 .. 3 are sums, of up to 16 inputs with the 16 rows of a
 * panel; 4 and 5 are inputs, 6 and 7 weights.
 */
#pragma once

#include "kernels/avx512/gem-avx512.h"

enum {
  GEM_AVX512_TILE_INPUTS = 16, /* of one tile, at most */
  GEM_AVX512_TILE_BYTES = 64,  /* of a row, at most */
  GEM_AVX512_SUM_TILES = 4
};

/* Matrices of Q6_K. */
void
gem_avx512_amx_linear_q6_k(
    const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

/* Tiles of up to `inputs` inputs by `cols` columns, and of as many columns in `words` words of 16 rows. */
static inline void
gem_avx512_tiles_configure(size_t inputs, size_t cols, size_t words)
{
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (size_t tile = 0; tile < 8; tile++) {
    bool is_weights = tile >= GEM_AVX512_SUM_TILES + 2;
    bool is_inputs = tile >= GEM_AVX512_SUM_TILES && !is_weights;
    configuration.row_bytes[tile] = (uint16_t)(is_inputs ? cols : GEM_AVX512_TILE_BYTES);
    configuration.rows[tile] = (uint8_t)(is_weights ? words : inputs);
  }
  /* gcc 12 takes only the first bytes for read. */
  __asm__ volatile("" : : "r"(&configuration) : "memory");
  _tile_loadconfig(&configuration);
}

/* Tile `tile` of sums, a constant to the compiler. */
__attribute__((always_inline)) static inline void
gem_avx512_tile_store(size_t tile, __m512i *sums)
{
  if (tile == 0) {
    _tile_stored(0, sums, GEM_AVX512_TILE_BYTES);
  } else if (tile == 1) {
    _tile_stored(1, sums, GEM_AVX512_TILE_BYTES);
  } else if (tile == 2) {
    _tile_stored(2, sums, GEM_AVX512_TILE_BYTES);
  } else {
    _tile_stored(3, sums, GEM_AVX512_TILE_BYTES);
  }
}
