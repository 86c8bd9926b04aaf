/*
 * Quantized matrices with the matrix product of 8-bit integers: 2 rows x 8 columns with 2 inputs x 8 columns
 * at a time, which gives (row 0, input 0), (row 0, input 1), (row 1, input 0), (row 1, input 1).
 */
#include "kernels/neon/gem-neon.h"

enum { PAIRS = GEM_NEON_TILE / 2 }; /* of inputs, in a tile */

/* Two neighbouring words of 4 rows become 8 columns of 2 rows, twice: [subs][sub_words / 2][8 row pairs][2][8
 * columns]. All of a word's rows are read before any is written. */
static void
arrange(GemNeonChunk *chunk)
{
  for (size_t at = 0; at < chunk->subs * chunk->sub_words * GEM_NEON_WORD_BYTES;
       at += 2 * GEM_NEON_WORD_BYTES) {
    int32x4_t words[2][GEM_NEON_GROUPS];
    for (size_t i = 0; i < 2 * GEM_NEON_GROUPS; i++) {
      words[i / GEM_NEON_GROUPS][i % GEM_NEON_GROUPS] =
          vreinterpretq_s32_s8(vld1q_s8(chunk->weights + at + i * 16));
    }
    for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
      int8_t *to = chunk->decoded + at + group * 32;
      vst1q_s8(to, vreinterpretq_s8_s32(vzip1q_s32(words[0][group], words[1][group])));
      vst1q_s8(to + 16, vreinterpretq_s8_s32(vzip2q_s32(words[0][group], words[1][group])));
    }
  }
  chunk->weights = chunk->decoded;
}

/* 16 columns of two inputs: columns 0 .. 7 of both, then 8 .. 15 of both. */
static inline void
load_level_pair(const int8_t *first, const int8_t *second, int8x16_t *levels)
{
  int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(first));
  int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(second));
  levels[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
  levels[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

/* Sums of two rows with two inputs over `steps` times 8 columns. */
static inline int32x4_t
multiply(const int8x16_t *weights, const int8x16_t *levels, size_t steps)
{
  int32x4_t sums = vdupq_n_s32(0);
#pragma GCC unroll 4
  for (size_t step = 0; step < steps; step++) {
    sums = vmmlaq_s32(sums, weights[step], levels[step]);
  }
  return sums;
}

/* f = fma(sums, scale, f), or f += sums times whole scales, as of all registers of integers. */
static inline float32x4_t
add_sums(float32x4_t f, int32x4_t sums, float32x4_t scale, bool is_whole)
{
  if (is_whole) {
    int32x4_t total = vmlaq_s32(vreinterpretq_s32_f32(f), sums, vreinterpretq_s32_f32(scale));
    return vreinterpretq_f32_s32(total);
  }
  return vfmaq_f32(f, vcvtq_f32_s32(sums), scale);
}

/* Four rows with all pairs of inputs: rows[pair] are two row pairs. Sub-blocks of 2 steps have whole scales.
 */
static inline __attribute__((always_inline)) void
add_group(const int8_t *weights,
          float32x4_t scale,
          const int8x16_t (*levels)[4],
          size_t pairs,
          size_t steps,
          float32x4_t (*rows)[2])
{
  const float32x4_t row_scales[] = {vzip1q_f32(scale, scale), vzip2q_f32(scale, scale)};
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; half++) {
    int8x16_t loaded[4];
#pragma GCC unroll 4
    for (size_t step = 0; step < steps; step++) {
      loaded[step] = vld1q_s8(weights + step * 2 * GEM_NEON_WORD_BYTES + half * 16);
    }
#pragma GCC unroll 2
    for (size_t pair = 0; pair < pairs; pair++) {
      int32x4_t sums = multiply(loaded, levels[pair], steps);
      rows[pair][half] = add_sums(rows[pair][half], sums, row_scales[half], steps == 2);
    }
  }
}

/* Four rows of two inputs, from two row pairs, once all sub-blocks are in. */
static inline __attribute__((always_inline)) void
end_group(
    const GemNeonChunk *chunk, const float32x4_t *rows, size_t row, size_t steps, float (*f)[GEM_PANEL_ROWS])
{
  float32x4_t first = vuzp1q_f32(rows[0], rows[1]), second = vuzp2q_f32(rows[0], rows[1]);
  if (steps == 2) {
    float32x4_t d = vld1q_f32(chunk->d + row);
    first = vmulq_f32(d, vcvtq_f32_s32(vreinterpretq_s32_f32(first)));
    second = vmulq_f32(d, vcvtq_f32_s32(vreinterpretq_s32_f32(second)));
  }
  vst1q_f32(f[0] + row, first);
  vst1q_f32(f[1] + row, second);
}

/* A chunk with `pairs` pairs of inputs, whose levels stand at `levels`; the last two parameters are
 * constants. */
static inline __attribute__((always_inline)) void
tile(const GemNeonChunk *chunk,
     const int8_t *const *levels,
     float (*f)[GEM_PANEL_ROWS],
     size_t pairs,
     size_t steps)
{
  float32x4_t rows[GEM_NEON_GROUPS][PAIRS][2];
#pragma GCC unroll 8
  for (size_t i = 0; i < GEM_NEON_GROUPS * PAIRS; i++) {
    rows[i / PAIRS][i % PAIRS][0] = vdupq_n_f32(0.0f);
    rows[i / PAIRS][i % PAIRS][1] = vdupq_n_f32(0.0f);
  }
  const int8_t *weights = chunk->weights;
  for (size_t sub = 0; sub < chunk->subs; sub++, weights += steps * 2 * GEM_NEON_WORD_BYTES) {
    size_t col = chunk->first_col[sub];
    int8x16_t loaded[PAIRS][4];
#pragma GCC unroll 2
    for (size_t pair = 0; pair < pairs; pair++) {
      load_level_pair(levels[pair * 2] + col, levels[pair * 2 + 1] + col, loaded[pair]);
      if (steps == 4) {
        load_level_pair(levels[pair * 2] + col + 16, levels[pair * 2 + 1] + col + 16, loaded[pair] + 2);
      }
    }
#pragma GCC unroll 4
    for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
      /* Whole ones as well: their bits. */
      float32x4_t scale = vld1q_f32(chunk->scales[sub] + group * GEM_NEON_GROUP_ROWS);
      add_group(weights + group * 32, scale, loaded, pairs, steps, rows[group]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < GEM_NEON_GROUPS * pairs; i++) {
    end_group(chunk, rows[i / pairs][i % pairs], i / pairs * GEM_NEON_GROUP_ROWS, steps, f + i % pairs * 2);
  }
}

static void
two_pairs(const GemNeonChunk *chunk, const int8_t *const *levels, float (*f)[GEM_PANEL_ROWS])
{
  if (chunk->sub_words == 8) {
    tile(chunk, levels, f, 2, 4);
  } else {
    tile(chunk, levels, f, 2, 2);
  }
}

static void
one_pair(const GemNeonChunk *chunk, const int8_t *const *levels, float (*f)[GEM_PANEL_ROWS])
{
  if (chunk->sub_words == 8) {
    tile(chunk, levels, f, 1, 4);
  } else {
    tile(chunk, levels, f, 1, 2);
  }
}

/* An input without a partner is its own: f has room for a whole tile. */
static size_t
many(const GemNeonChunk *chunk, const int8_t *levels, size_t stride, size_t n, float (*f)[GEM_PANEL_ROWS])
{
  const int8_t *inputs[GEM_NEON_TILE];
  for (size_t i = 0; i < GEM_NEON_TILE; i++) {
    inputs[i] = levels + (i < n ? i : n - 1) * stride;
  }
  if (n > 2) {
    two_pairs(chunk, inputs, f);
  } else {
    one_pair(chunk, inputs, f);
  }
  return n < GEM_NEON_TILE ? n : GEM_NEON_TILE;
}

void
gem_neon_i8mm_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  static const GemNeonSteps steps = {
      .single = gem_neon_dot_single, .most_single = 3, .arrange = arrange, .many = many};
  if (!gem_packed_takes_levels(weights->type)) {
    gem_neon_linear_floats(weights, first, end, inputs, y);
    return;
  }
  gem_neon_linear_levels(&steps, weights, first, end, inputs, y);
}
