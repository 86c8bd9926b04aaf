/*
 * Products of quantized matrices, over a dot step (gem-avx2-dot.h, gem-avx2-vnni-dot.h), which is included
 * before. AHEAD(type), which is defined before, too, is how a walk through a matrix of that type asks ahead.
 *
 * Inputs are taken in segments: so many of them and so many columns that what the dot step wants of them
 * stands in the near caches while all panels pass by. Few inputs meet the weights of 8 rows in the
 * registers in which they are decoded; for many, 32 rows are decoded to memory and meet two inputs at a time.
 */
#pragma once

#include "kernels/avx2/gem-avx2-decode.h"

enum {
  MOST_INPUTS = 64,     /* of a segment */
  MOST_PREPARED = 1024, /* steps times inputs of a segment */
  MOST_FEW = 7,
  MOST_HALVES = 4, /* of two panels */
  TILE_INPUTS = 2,
  STEP_COLS = 32,
  CHUNK_STEPS = GEM_CHUNK_COLS / STEP_COLS
};

/* Inputs first .. first + n - 1 at columns col .. end_col - 1. */
typedef struct {
  const GemPacked *weights;
  const GemInputs *inputs;
  float *y;
  size_t first;
  size_t n;
  size_t col;
  size_t end_col;
  GemDotInput prepared[MOST_PREPARED]; /* [steps][n] */
} Segment;

GEM_AVX2_INLINE void
prepare(GemType type, Segment *segment)
{
  const GemInputs *inputs = segment->inputs;
  GemDotInput *prepared = segment->prepared;
  for (size_t col = segment->col; col < segment->end_col; col += STEP_COLS) {
    for (size_t i = segment->first; i < segment->first + segment->n; i++) {
      size_t at = i * inputs->cols + col;
      size_t next = at + 16;
      if (type == GEM_TYPE_Q6_K) {
        at += first_sub_of_step(col / STEP_COLS % CHUNK_STEPS) * GEM_SUM_COLS - col % GEM_CHUNK_COLS;
        next = at + 32;
      }
      __m128i low = gem_avx2_load_half(inputs->levels + at);
      __m128i high = gem_avx2_load_half(inputs->levels + next);
      gem_dot_prepare(type, _mm256_set_m128i(high, low), inputs->sums[at / GEM_SUM_COLS],
                      inputs->sums[next / GEM_SUM_COLS], prepared++);
    }
  }
}

/* f[n][halves] += one step; counts are constants to the compiler, and the sums stay in registers. Of Q6_K f
 * are integers until the chunk ends. */
GEM_AVX2_INLINE void
add_tile(GemType type, const Weights *weights, const GemDotInput *inputs, size_t n, size_t halves, __m256 *f)
{
  size_t subs = type == GEM_TYPE_Q6_K ? 2 : 1;
  size_t words = 8 / subs;
#pragma GCC unroll 2
  for (size_t sub = 0; sub < subs; sub++) {
    __m256i sums[TILE_INPUTS * MOST_HALVES];
#pragma GCC unroll 8
    for (size_t i = 0; i < n * halves; i++) {
      sums[i] = _mm256_set1_epi32(inputs[i / halves].starts[sub]);
    }
#pragma GCC unroll 8
    for (size_t word = sub * words; word < (sub + 1) * words; word++) {
#pragma GCC unroll 8
      for (size_t i = 0; i < n * halves; i++) {
        sums[i] = gem_dot_add(type, sums[i], weights[i % halves].words[word], &inputs[i / halves], word);
        /* In this order: the compiler would make all products before it adds them, and lack registers. */
        __asm__("" : "+x"(sums[i]));
      }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < n * halves; i++) {
      const Weights *met = &weights[i % halves];
      if (type == GEM_TYPE_Q6_K) {
        __m256i scaled = gem_dot_scale(sums[i], met->whole_scales[sub]);
        f[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(f[i]), scaled));
      } else {
        f[i] = _mm256_fmadd_ps(gem_dot_end(type, sums[i]), met->scale, f[i]);
      }
    }
  }
}

/* f[n][GEM_AVX2_HALVES] += a chunk of one panel. */
GEM_AVX2_INLINE void
add_chunk_few(
    GemType type, const uint8_t *data, size_t blocks, const GemDotInput *inputs, size_t n, __m256 *f)
{
  for (size_t step = 0; step < blocks; step++, inputs += n) {
    gem_packed_ask_ahead(type, data, step, CHUNK_STEPS, AHEAD(type));
#pragma GCC unroll 2
    for (size_t half = 0; half < GEM_AVX2_HALVES; half++) {
      Weights weights;
      decode_step(type, data, blocks, step, half, &weights);
      for (size_t i = 0; i < n; i++) {
        add_tile(type, &weights, inputs + i, 1, 1, f + i * GEM_AVX2_HALVES + half);
      }
    }
  }
}

/* f[n][halves] += a chunk of halves / 2 panels, which stand panel_bytes apart. */
GEM_AVX2_INLINE void
add_chunk_many(GemType type,
               const uint8_t *data,
               size_t panel_bytes,
               size_t halves,
               size_t blocks,
               const GemDotInput *inputs,
               size_t n,
               __m256 *f)
{
  for (size_t step = 0; step < blocks; step++, inputs += n) {
    Weights weights[MOST_HALVES];
    for (size_t half = 0; half < halves; half++) {
      decode_step(type, data + half / GEM_AVX2_HALVES * panel_bytes, blocks, step, half % GEM_AVX2_HALVES,
                  &weights[half]);
    }
    size_t i = 0;
    for (; i + TILE_INPUTS <= n; i += TILE_INPUTS) {
      add_tile(type, weights, inputs + i, TILE_INPUTS, halves, f + i * halves);
    }
    for (; i < n; i++) {
      add_tile(type, weights, inputs + i, 1, halves, f + i * halves);
    }
  }
}

/* f[n][halves] at the end of a chunk, which `data` is of the first panel. */
GEM_AVX2_INLINE void
end_chunk(GemType type, const uint8_t *data, size_t panel_bytes, size_t halves, size_t n, __m256 *f)
{
  if (type != GEM_TYPE_Q6_K) {
    return;
  }
  __m256 d[MOST_HALVES];
  for (size_t half = 0; half < halves; half++) {
    d[half] = q6_k_d(data + half / GEM_AVX2_HALVES * panel_bytes, half % GEM_AVX2_HALVES);
  }
  for (size_t i = 0; i < n * halves; i++) {
    f[i] = _mm256_mul_ps(d[i % halves], _mm256_cvtepi32_ps(_mm256_castps_si256(f[i])));
  }
}

/* Where 8 rows are, and how many of them the matrix has. */
typedef struct {
  float *y;
  size_t lanes;
} Rows;

GEM_AVX2_INLINE Rows
rows_of(const Segment *segment, size_t panel, size_t half, size_t i)
{
  size_t row = panel * GEM_PANEL_ROWS + half * GEM_AVX2_ROWS;
  size_t rows = segment->weights->rows;
  return (Rows){segment->y + (segment->first + i) * rows + row, gem_avx2_lanes(rows, row)};
}

/* What the segments before have left in y. */
GEM_AVX2_INLINE void
load_sums(const Segment *segment, size_t panel, size_t halves, size_t n, __m256 *sums)
{
  for (size_t i = 0; i < n * halves; i++) {
    Rows rows = rows_of(segment, panel, i % halves, i / halves);
    bool is_there = segment->col > 0 && rows.lanes > 0;
    sums[i] = is_there ? gem_avx2_load_rows(rows.y, rows.lanes) : _mm256_setzero_ps();
  }
}

GEM_AVX2_INLINE void
store_sums(const Segment *segment, size_t panel, size_t halves, size_t n, const __m256 *sums)
{
  for (size_t i = 0; i < n * halves; i++) {
    Rows rows = rows_of(segment, panel, i % halves, i / halves);
    if (rows.lanes > 0) {
      gem_avx2_store_rows(rows.y, rows.lanes, sums[i]);
    }
  }
}

/* One or two panels with the segment. f and sums are [n][halves]: of the chunk at hand, of all. `few` is a
 * constant to the compiler, and so is n when it is 1. */
GEM_AVX2_INLINE void
run_panels(GemType type,
           const Segment *segment,
           size_t panel,
           size_t halves,
           bool few,
           size_t n,
           __m256 *f,
           __m256 *sums)
{
  size_t cols = segment->inputs->cols;
  size_t panel_bytes = gem_packed_panel_bytes(type, cols);
  const uint8_t *data = segment->weights->data + panel * panel_bytes;
  const float *scales = segment->inputs->scales + segment->first * gem_packed_chunks(cols);
  const GemDotInput *prepared = segment->prepared;
  load_sums(segment, panel, halves, n, sums);
  for (size_t col = segment->col; col < segment->end_col; col += GEM_CHUNK_COLS) {
    size_t blocks = gem_packed_width(cols, col) / STEP_COLS;
    const uint8_t *chunk = data + gem_packed_chunk_offset(type, col);
    for (size_t i = 0; i < n * halves; i++) {
      f[i] = _mm256_setzero_ps();
    }
    if (few) {
      add_chunk_few(type, chunk, blocks, prepared, n, f);
    } else {
      add_chunk_many(type, chunk, panel_bytes, halves, blocks, prepared, n, f);
    }
    end_chunk(type, chunk, panel_bytes, halves, n, f);
    for (size_t i = 0; i < n * halves; i++) {
      float scale = scales[i / halves * gem_packed_chunks(cols) + col / GEM_CHUNK_COLS];
      sums[i] = _mm256_fmadd_ps(_mm256_set1_ps(scale), f[i], sums[i]);
    }
    prepared += blocks * n;
  }
  store_sums(segment, panel, halves, n, sums);
}

GEM_AVX2_INLINE void
run_few(GemType type, const Segment *segment, size_t first, size_t end)
{
  for (size_t panel = first; panel < end; panel++) {
    if (segment->n == 1) {
      __m256 f[GEM_AVX2_HALVES];
      __m256 sums[GEM_AVX2_HALVES];
      run_panels(type, segment, panel, GEM_AVX2_HALVES, true, 1, f, sums);
    } else {
      __m256 f[MOST_FEW * GEM_AVX2_HALVES];
      __m256 sums[MOST_FEW * GEM_AVX2_HALVES];
      run_panels(type, segment, panel, GEM_AVX2_HALVES, true, segment->n, f, sums);
    }
  }
}

GEM_AVX2_INLINE void
run_many(GemType type, const Segment *segment, size_t first, size_t end)
{
  __m256 f[MOST_INPUTS * MOST_HALVES];
  __m256 sums[MOST_INPUTS * MOST_HALVES];
  size_t panel = first;
  for (; panel + 2 <= end; panel += 2) {
    run_panels(type, segment, panel, MOST_HALVES, false, segment->n, f, sums);
  }
  for (; panel < end; panel++) {
    run_panels(type, segment, panel, GEM_AVX2_HALVES, false, segment->n, f, sums);
  }
}

GEM_AVX2_INLINE void
run_type(GemType type, const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  Segment segment;
  if (first >= end) {
    return; /* before inputs are prepared for nobody */
  }
  segment.weights = weights;
  segment.inputs = inputs;
  segment.y = y;
  size_t blocks = (inputs->n + MOST_INPUTS - 1) / MOST_INPUTS;
  for (size_t block = 0; block < blocks; block++) {
    segment.first = inputs->n * block / blocks;
    segment.n = inputs->n * (block + 1) / blocks - segment.first;
    size_t width = MOST_PREPARED / CHUNK_STEPS / segment.n * GEM_CHUNK_COLS;
    for (segment.col = 0; segment.col < inputs->cols; segment.col = segment.end_col) {
      segment.end_col = inputs->cols - segment.col < width ? inputs->cols : segment.col + width;
      prepare(type, &segment);
      if (segment.n <= MOST_FEW) {
        run_few(type, &segment, first, end);
      } else {
        run_many(type, &segment, first, end);
      }
    }
  }
}

/* One function a type keeps each small enough for the compiler's registers. */
#define DEFINE_RUN(name, type)                                                                               \
  static void name(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)    \
  {                                                                                                          \
    run_type(type, weights, first, end, inputs, y);                                                          \
  }
DEFINE_RUN(run_q4_0, GEM_TYPE_Q4_0)
DEFINE_RUN(run_q8_0, GEM_TYPE_Q8_0)
DEFINE_RUN(run_q6_k, GEM_TYPE_Q6_K)
#undef DEFINE_RUN

/* The kernel "linear". */
static inline void
run_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (!gem_packed_takes_levels(weights->type)) {
    gem_avx2_linear_floats(weights, first, end, inputs, y);
  } else if (weights->type == GEM_TYPE_Q4_0) {
    run_q4_0(weights, first, end, inputs, y);
  } else if (weights->type == GEM_TYPE_Q8_0) {
    run_q8_0(weights, first, end, inputs, y);
  } else {
    run_q6_k(weights, first, end, inputs, y);
  }
}
