/* Matrices of floats and halves: y = fma(w, x, y), column after column. */
#include "kernels/neon/gem-neon.h"

/* A chunk of weights: [width][16 rows] floats or halves. */
typedef struct {
  GemType type;
  const uint8_t *data;
  size_t width;
} Columns;

/* Results of a panel: y[16 rows], of which the matrix has `lanes`. */
static inline void
load_rows(const float *y, size_t lanes, float32x4_t *rows)
{
  float whole[GEM_PANEL_ROWS] = {0};
  if (lanes < GEM_PANEL_ROWS) {
    memcpy(whole, y, lanes * sizeof *y);
    y = whole;
  }
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    rows[group] = vld1q_f32(y + group * 4);
  }
}

static inline void
store_rows(const float32x4_t *rows, size_t lanes, float *y)
{
  float whole[GEM_PANEL_ROWS];
  float *to = lanes < GEM_PANEL_ROWS ? whole : y;
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    vst1q_f32(to + group * 4, rows[group]);
  }
  if (lanes < GEM_PANEL_ROWS) {
    memcpy(y, whole, lanes * sizeof *y);
  }
}

static inline void
load_column(GemType type, const uint8_t *data, float32x4_t *column)
{
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group += 2) {
    if (type == GEM_TYPE_F16) {
      float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8(data + group * 8));
      column[group] = vcvt_f32_f16(vget_low_f16(halves));
      column[group + 1] = vcvt_high_f32_f16(halves);
    } else {
      column[group] = vreinterpretq_f32_u8(vld1q_u8(data + group * 16));
      column[group + 1] = vreinterpretq_f32_u8(vld1q_u8(data + group * 16 + 16));
    }
  }
}

/* Four columns with four values of one input. */
static inline void
add_four(const float32x4_t (*columns)[GEM_NEON_GROUPS], float32x4_t x, float32x4_t *rows)
{
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    rows[group] = vfmaq_laneq_f32(rows[group], columns[0][group], x, 0);
    rows[group] = vfmaq_laneq_f32(rows[group], columns[1][group], x, 1);
    rows[group] = vfmaq_laneq_f32(rows[group], columns[2][group], x, 2);
    rows[group] = vfmaq_laneq_f32(rows[group], columns[3][group], x, 3);
  }
}

/* A chunk with n inputs, whose values stand `stride` apart; type and n are constants. */
static inline __attribute__((always_inline)) void
add_columns(const Columns *chunk,
            const float *x,
            size_t stride,
            float32x4_t (*rows)[GEM_NEON_GROUPS],
            GemType type,
            size_t n)
{
  const uint8_t *data = chunk->data;
  size_t col_bytes = GEM_PANEL_ROWS * (type == GEM_TYPE_F16 ? sizeof(uint16_t) : sizeof(float));
  size_t col = 0;
  for (; col + 4 <= chunk->width; col += 4, data += 4 * col_bytes) {
    float32x4_t columns[4][GEM_NEON_GROUPS];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
      load_column(type, data + i * col_bytes, columns[i]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
      add_four(columns, vld1q_f32(x + i * stride + col), rows[i]);
    }
  }
  for (; col < chunk->width; col++, data += col_bytes) {
    float32x4_t column[GEM_NEON_GROUPS];
    load_column(type, data, column);
#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
#pragma GCC unroll 4
      for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
        rows[i][group] = vfmaq_n_f32(rows[i][group], column[group], x[i * stride + col]);
      }
    }
  }
}

/* Where the results of a panel go: y[n] stands `stride` apart. */
typedef struct {
  float *y;
  size_t stride;
  size_t lanes;
} Results;

static inline __attribute__((always_inline)) void
add_tile(const Columns *chunk, const float *x, size_t cols, const Results *results, GemType type, size_t n)
{
  float32x4_t rows[GEM_NEON_TILE][GEM_NEON_GROUPS];
#pragma GCC unroll 4
  for (size_t i = 0; i < n; i++) {
    load_rows(results->y + i * results->stride, results->lanes, rows[i]);
  }
  add_columns(chunk, x, cols, rows, type, n);
#pragma GCC unroll 4
  for (size_t i = 0; i < n; i++) {
    store_rows(rows[i], results->lanes, results->y + i * results->stride);
  }
}

static void
add_chunk(const Columns *chunk, const float *x, size_t cols, size_t n, Results results)
{
  size_t step = 0;
  for (size_t i = 0; i < n; i += step, x += step * cols, results.y += step * results.stride) {
    step = n - i >= GEM_NEON_TILE ? GEM_NEON_TILE : 1;
    if (chunk->type == GEM_TYPE_F16 && step == 1) {
      add_tile(chunk, x, cols, &results, GEM_TYPE_F16, 1);
    } else if (chunk->type == GEM_TYPE_F16) {
      add_tile(chunk, x, cols, &results, GEM_TYPE_F16, GEM_NEON_TILE);
    } else if (step == 1) {
      add_tile(chunk, x, cols, &results, GEM_TYPE_F32, 1);
    } else {
      add_tile(chunk, x, cols, &results, GEM_TYPE_F32, GEM_NEON_TILE);
    }
  }
}

/* Halves as floats: for more inputs than a tile has. */
static void
decode_halves(Columns *chunk, float *floats)
{
  for (size_t i = 0; i < chunk->width * GEM_PANEL_ROWS; i += 4) {
    vst1q_f32(floats + i, gem_neon_load_halves(chunk->data + i * 2));
  }
  chunk->type = GEM_TYPE_F32;
  chunk->data = (const uint8_t *)floats;
}

static void
add_many_halves(Columns chunk, const float *x, size_t cols, size_t n, Results results)
{
  float floats[GEM_CHUNK_COLS * GEM_PANEL_ROWS];
  decode_halves(&chunk, floats);
  add_chunk(&chunk, x, cols, n, results);
}

static void
multiply_panel(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y)
{
  const uint8_t *data = weights->data + panel * gem_packed_panel_bytes(weights->type, weights->cols);
  Results results = {.y = y, .stride = weights->rows, .lanes = gem_neon_lanes(weights, panel)};
  for (size_t i = 0; i < inputs->n; i++) {
    memset(y + i * weights->rows, 0, results.lanes * sizeof *y);
  }
  for (size_t col = 0; col < weights->cols; col += GEM_CHUNK_COLS) {
    Columns chunk = {.type = weights->type,
                     .data = data + gem_packed_chunk_offset(weights->type, col),
                     .width = gem_packed_width(weights->cols, col)};
    if (chunk.type == GEM_TYPE_F16 && inputs->n > GEM_NEON_TILE) {
      add_many_halves(chunk, inputs->values + col, inputs->cols, inputs->n, results);
    } else {
      add_chunk(&chunk, inputs->values + col, inputs->cols, inputs->n, results);
    }
  }
}

void
gem_neon_linear_floats(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  for (size_t panel = first; panel < end; panel++) {
    multiply_panel(weights, panel, inputs, y + panel * GEM_PANEL_ROWS);
  }
}
