/* The shapes of the tile unit's registers; for files that are compiled for it (gem-tile-unit.h). */
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum {
  GEM_TILES = 8,           /* registers */
  GEM_TILE_ROWS = 16,      /* at most, of one */
  GEM_TILE_ROW_BYTES = 64, /* at most */
};

typedef struct {
  size_t rows, row_bytes;
} GemTileShape;

/* Tiles are zeros then. */
static inline void
gem_tile_shapes_load(const GemTileShape shapes[GEM_TILES])
{
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1};
  for (size_t tile = 0; tile < GEM_TILES; tile++) {
    configuration.row_bytes[tile] = (uint16_t)shapes[tile].row_bytes;
    configuration.rows[tile] = (uint8_t)shapes[tile].rows;
  }
  /* gcc 12 takes only the first bytes for read. */
  __asm__ volatile("" : : "r"(&configuration) : "memory");
  _tile_loadconfig(&configuration);
}

/* All of them as large as they can be. */
static inline void
gem_tile_shapes_load_largest(void)
{
  GemTileShape shapes[GEM_TILES];
  for (size_t tile = 0; tile < GEM_TILES; tile++) {
    shapes[tile] = (GemTileShape){.rows = GEM_TILE_ROWS, .row_bytes = GEM_TILE_ROW_BYTES};
  }
  gem_tile_shapes_load(shapes);
}
