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

__attribute__((always_inline)) static inline void
run(GemType type, const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  size_t i = 0;
  for (; i + TILE_INPUTS <= inputs->n; i += TILE_INPUTS) {
    size_t panel = first;
    for (; panel + 2 <= end; panel += 2) {
      run_tile(type, weights, panel, 2, inputs, i, TILE_INPUTS, y);
    }
    for (; panel < end; panel++) {
      run_tile(type, weights, panel, 1, inputs, i, TILE_INPUTS, y);
    }
  }
  for (; i < inputs->n; i++) {
    size_t panel = first;
    for (; panel + TILE_PANELS <= end; panel += TILE_PANELS) {
      run_tile(type, weights, panel, TILE_PANELS, inputs, i, 1, y);
    }
    for (; panel < end; panel++) {
      run_tile(type, weights, panel, 1, inputs, i, 1, y);
    }
  }
}

void
gem_avx512_linear_floats(
    const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (weights->type == GEM_TYPE_F16) {
    run(GEM_TYPE_F16, weights, first, end, inputs, y);
  } else {
    run(GEM_TYPE_F32, weights, first, end, inputs, y);
  }
}
