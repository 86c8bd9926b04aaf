/*
 * Halves and floats: every column is one step of a chain of sums, so several chains run side by side. One
 * input meets four panels as they come; for more, halves are made floats once a chunk and meet up to 6
 * inputs.
 */
#include "kernels/avx2/gem-avx2.h"

enum { SINGLE_PANELS = 4, SINGLE_SUMS = SINGLE_PANELS * GEM_AVX2_HALVES, TILE_INPUTS = 6 };

/* 8 rows at one column. */
GEM_AVX2_INLINE __m256
load_column(GemType type, const uint8_t *chunk, size_t col, size_t half)
{
  size_t value = col * GEM_PANEL_ROWS + half * GEM_AVX2_ROWS;
  return type == GEM_TYPE_F16 ? gem_avx2_halves(chunk + value * 2)
                              : _mm256_loadu_ps((const float *)(const void *)chunk + value);
}

/* The place of a panel's rows in an input's results. */
static inline void
store_half(const GemPacked *weights, size_t panel, size_t half, __m256 sum, float *y)
{
  size_t row = panel * GEM_PANEL_ROWS + half * GEM_AVX2_ROWS;
  size_t lanes = gem_avx2_lanes(weights->rows, row);
  if (lanes > 0) {
    gem_avx2_store_rows(y + row, lanes, sum);
  }
}

/* `panels` panels with one input; type and panels are constants to the compiler. */
GEM_AVX2_INLINE void
run_single(GemType type, const GemPacked *weights, size_t panel, size_t panels, const float *x, float *y)
{
  size_t panel_bytes = gem_packed_panel_bytes(type, weights->cols);
  __m256 sums[SINGLE_SUMS];
#pragma GCC unroll 8
  for (size_t i = 0; i < panels * GEM_AVX2_HALVES; i++) {
    sums[i] = _mm256_setzero_ps();
  }
  for (size_t start = 0; start < weights->cols; start += GEM_CHUNK_COLS) {
    const uint8_t *chunk = weights->data + panel * panel_bytes + gem_packed_chunk_offset(type, start);
    size_t width = gem_packed_width(weights->cols, start);
    for (size_t col = 0; col < width; col++) {
      __m256 input = _mm256_set1_ps(x[start + col]);
#pragma GCC unroll 8
      for (size_t i = 0; i < panels * GEM_AVX2_HALVES; i++) {
        __m256 column =
            load_column(type, chunk + i / GEM_AVX2_HALVES * panel_bytes, col, i % GEM_AVX2_HALVES);
        sums[i] = _mm256_fmadd_ps(column, input, sums[i]);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < panels * GEM_AVX2_HALVES; i++) {
    store_half(weights, panel + i / GEM_AVX2_HALVES, i % GEM_AVX2_HALVES, sums[i], y);
  }
}

/* A chunk of a panel as floats: [width][16 rows]; x and y are the first input's and stand at the chunk. */
typedef struct {
  const GemPacked *weights;
  const float *columns;
  size_t panel;
  size_t start;
  size_t width;
} Chunk;

/* y += chunk, for n inputs; n is a constant to the compiler, and the sums stay in registers. */
GEM_AVX2_INLINE void
run_tile(const Chunk *chunk, size_t n, const float *x, float *y)
{
  size_t cols = chunk->weights->cols;
  size_t rows = chunk->weights->rows;
  __m256 sums[TILE_INPUTS * GEM_AVX2_HALVES];
#pragma GCC unroll 12
  for (size_t i = 0; i < n * GEM_AVX2_HALVES; i++) {
    size_t row = chunk->panel * GEM_PANEL_ROWS + i % GEM_AVX2_HALVES * GEM_AVX2_ROWS;
    size_t lanes = gem_avx2_lanes(rows, row);
    bool is_there = chunk->start > 0 && lanes > 0;
    sums[i] =
        is_there ? gem_avx2_load_rows(y + i / GEM_AVX2_HALVES * rows + row, lanes) : _mm256_setzero_ps();
  }
  for (size_t col = 0; col < chunk->width; col++) {
    const float *column = chunk->columns + col * GEM_PANEL_ROWS;
    __m256 low = _mm256_loadu_ps(column);
    __m256 high = _mm256_loadu_ps(column + GEM_AVX2_ROWS);
#pragma GCC unroll 6
    for (size_t i = 0; i < n; i++) {
      __m256 input = _mm256_set1_ps(x[i * cols + chunk->start + col]);
      sums[i * 2] = _mm256_fmadd_ps(low, input, sums[i * 2]);
      sums[i * 2 + 1] = _mm256_fmadd_ps(high, input, sums[i * 2 + 1]);
    }
  }
#pragma GCC unroll 12
  for (size_t i = 0; i < n * GEM_AVX2_HALVES; i++) {
    store_half(chunk->weights, chunk->panel, i % GEM_AVX2_HALVES, sums[i], y + i / GEM_AVX2_HALVES * rows);
  }
}

#define TILE(n)                                                                                              \
  static void tile_##n(const Chunk *chunk, const float *x, float *y)                                         \
  {                                                                                                          \
    run_tile(chunk, n, x, y);                                                                                \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#undef TILE

typedef void (*TileFunction)(const Chunk *chunk, const float *x, float *y);
static const TileFunction tiles[TILE_INPUTS] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

static void
run_many(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  float decoded[GEM_CHUNK_COLS * GEM_PANEL_ROWS];
  Chunk chunk = {.weights = weights, .panel = panel, .columns = decoded};
  const uint8_t *data = weights->data + panel * gem_packed_panel_bytes(weights->type, weights->cols);
  /* As many tiles as are needed, all about as large. */
  size_t n_tiles = (inputs->n + TILE_INPUTS - 1) / TILE_INPUTS;
  for (chunk.start = 0; chunk.start < weights->cols; chunk.start += GEM_CHUNK_COLS) {
    const uint8_t *stored = data + gem_packed_chunk_offset(weights->type, chunk.start);
    chunk.width = gem_packed_width(weights->cols, chunk.start);
    if (weights->type == GEM_TYPE_F16) {
      for (size_t i = 0; i < chunk.width * GEM_PANEL_ROWS; i += GEM_AVX2_ROWS) {
        _mm256_storeu_ps(decoded + i, gem_avx2_halves(stored + i * 2));
      }
    } else {
      chunk.columns = (const float *)(const void *)stored;
    }
    for (size_t tile = 0; tile < n_tiles; tile++) {
      size_t first = inputs->n * tile / n_tiles;
      size_t end = inputs->n * (tile + 1) / n_tiles;
      tiles[end - first - 1](&chunk, inputs->values + first * weights->cols, y + first * weights->rows);
    }
  }
}

GEM_AVX2_INLINE void
run_all_single(
    GemType type, const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  size_t panel = first;
  for (; panel + SINGLE_PANELS <= end; panel += SINGLE_PANELS) {
    run_single(type, weights, panel, SINGLE_PANELS, inputs->values, y);
  }
  for (; panel < end; panel++) {
    run_single(type, weights, panel, 1, inputs->values, y);
  }
}

void
gem_avx2_linear_floats(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (inputs->n > 1) {
    for (size_t panel = first; panel < end; panel++) {
      run_many(weights, panel, inputs, y);
    }
  } else if (weights->type == GEM_TYPE_F16) {
    run_all_single(GEM_TYPE_F16, weights, first, end, inputs, y);
  } else {
    run_all_single(GEM_TYPE_F32, weights, first, end, inputs, y);
  }
}
