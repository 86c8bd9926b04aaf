/* Halves and floats: every column is one step of a chain of sums, so several chains run side by side. */
#include "kernels/avx512/gem-avx512.h"

#define TILE_PANELS 4
#define TILE_INPUTS 6

/* One column of a panel. */
__attribute__((always_inline)) static inline __m512
load_column(GemType type, const uint8_t *chunk, size_t col)
{
  return type == GEM_TYPE_F16 ? gem_avx512_scales(chunk + col * GEM_PANEL_ROWS * 2)
                              : _mm512_loadu_ps((const float *)(const void *)chunk + col * GEM_PANEL_ROWS);
}

/* `panels` panels from `panel` on with inputs first .. first + n - 1; type, panels and n are constants to the
 * compiler. */
__attribute__((always_inline)) static inline void
run_tile(GemType type,
         const GemPacked *weights,
         size_t panel,
         size_t panels,
         const GemInputs *inputs,
         size_t first,
         size_t n,
         float *y)
{
  size_t cols = weights->cols;
  size_t panel_bytes = gem_packed_panel_bytes(type, cols);
  __m512 sums[TILE_PANELS * TILE_INPUTS];
#pragma GCC unroll 24
  for (size_t i = 0; i < panels * n; i++) {
    sums[i] = _mm512_setzero_ps();
  }
  for (size_t start = 0; start < cols; start += GEM_CHUNK_COLS) {
    const uint8_t *chunk = weights->data + panel * panel_bytes + gem_packed_chunk_offset(type, start);
    const float *x = inputs->values + first * cols + start;
    for (size_t col = 0; col < gem_packed_width(cols, start); col++) {
#pragma GCC unroll 4
      for (size_t p = 0; p < panels; p++) {
        __m512 column = load_column(type, chunk + p * panel_bytes, col);
#pragma GCC unroll 6
        for (size_t i = 0; i < n; i++) {
          sums[p * n + i] = _mm512_fmadd_ps(column, _mm512_set1_ps(x[i * cols + col]), sums[p * n + i]);
        }
      }
    }
  }
#pragma GCC unroll 24
  for (size_t i = 0; i < panels * n; i++) {
    size_t p = panel + i / n;
    _mm512_mask_storeu_ps(y + (first + i % n) * weights->rows + p * GEM_PANEL_ROWS,
                          gem_avx512_lanes(weights, p), sums[i]);
  }
}

/* run_tile for each number of panels and inputs. */
#define TILE(type, panels, n)                                                                                \
  static void tile_##type##_##panels##_##n(const GemPacked *weights, size_t panel, const GemInputs *inputs,  \
                                           size_t first, float *y)                                           \
  {                                                                                                          \
    run_tile(GEM_TYPE_##type, weights, panel, panels, inputs, first, n, y);                                  \
  }
#define TILES(type, panels)                                                                                  \
  TILE(type, panels, 1)                                                                                      \
  TILE(type, panels, 2)                                                                                      \
  TILE(type, panels, 3)                                                                                      \
  TILE(type, panels, 4)                                                                                      \
  TILE(type, panels, 5)                                                                                      \
  TILE(type, panels, 6)
TILES(F16, 1)
TILES(F16, 4)
TILES(F32, 1)
TILES(F32, 4)
#undef TILES
#undef TILE

typedef void (*Tile)(const GemPacked *weights, size_t panel, const GemInputs *inputs, size_t first, float *y);

/* Of one type: [inputs - 1]. */
typedef struct {
  Tile single[TILE_INPUTS];
  Tile group[TILE_INPUTS];
} Tiles;

#define ROW(type, panels)                                                                                    \
  {                                                                                                          \
    tile_##type##_##panels##_1, tile_##type##_##panels##_2, tile_##type##_##panels##_3,                      \
        tile_##type##_##panels##_4, tile_##type##_##panels##_5, tile_##type##_##panels##_6                   \
  }
static const Tiles halves = {ROW(F16, 1), ROW(F16, 4)};
static const Tiles floats = {ROW(F32, 1), ROW(F32, 4)};
#undef ROW

/* All inputs meet the same panels before the next ones come, so that those come from memory once; in as many
 * tiles as are needed, all about as large. */
static void
run_panels(const Tile *tiles, const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  size_t n_tiles = (inputs->n + TILE_INPUTS - 1) / TILE_INPUTS;
  for (size_t tile = 0; tile < n_tiles; tile++) {
    size_t first = inputs->n * tile / n_tiles;
    size_t end = inputs->n * (tile + 1) / n_tiles;
    tiles[end - first - 1](weights, panel, inputs, first, y);
  }
}

void
gem_avx512_linear_floats(
    const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  const Tiles *tiles = weights->type == GEM_TYPE_F16 ? &halves : &floats;
  size_t panel = first;
  for (; panel + TILE_PANELS <= end; panel += TILE_PANELS) {
    run_panels(tiles->group, weights, panel, inputs, y);
  }
  for (; panel < end; panel++) {
    run_panels(tiles->single, weights, panel, inputs, y);
  }
}
