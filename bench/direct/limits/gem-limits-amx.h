/* Products of bytes on the tile unit; for files that are compiled for it. */
#pragma once

#include "bench/direct/limits/gem-limits-avx512.h"
#include "kernels/gem-tile-shapes.h"

enum {
  GEM_LIMITS_AMX_SUMS = 6, /* tiles; the other two are factors */
  GEM_LIMITS_AMX_ROUND = GEM_LIMITS_AMX_SUMS * GEM_TILE_ROWS * 16 * GEM_TILE_ROW_BYTES, /* multiply-adds */
};

#define GEM_LIMITS_AMX_EACH(statement)                                                                       \
  statement(0) statement(1) statement(2) statement(3) statement(4) statement(5)
#define GEM_LIMITS_AMX_MULTIPLY(tile) _tile_dpbssd(tile, 6, 7);
#define GEM_LIMITS_AMX_ADD(tile)                                                                             \
  _tile_stored(tile, sums, GEM_TILE_ROW_BYTES);                                                              \
  for (int row = 0; row < GEM_TILE_ROWS; row++) {                                                            \
    sum += gem_limits_sum_integers_512(sums[row]);                                                           \
  }

/* As a GemLimitsPeakLoop (gem-limits-kernels.h), of the round above. Where it is called, so that its
 * instructions are found under the caller's name. */
__attribute__((always_inline)) static inline uint64_t
gem_limits_amx_run(uint64_t rounds)
{
  __m512i sums[GEM_TILE_ROWS], ones[GEM_TILE_ROWS];
  uint64_t sum = 0;

  for (int row = 0; row < GEM_TILE_ROWS; row++) {
    ones[row] = _mm512_set1_epi8(1);
  }
  /* Tiles are loaded by code that the compiler does not see into. */
  __asm__ volatile("" : : "r"(ones) : "memory");
  gem_tile_shapes_load_largest();
  _tile_loadd(6, ones, GEM_TILE_ROW_BYTES);
  _tile_loadd(7, ones, GEM_TILE_ROW_BYTES);
  for (uint64_t i = 0; i < rounds; i++) {
    GEM_LIMITS_AMX_EACH(GEM_LIMITS_AMX_MULTIPLY)
  }
  GEM_LIMITS_AMX_EACH(GEM_LIMITS_AMX_ADD)
  _tile_release();
  return sum;
}
