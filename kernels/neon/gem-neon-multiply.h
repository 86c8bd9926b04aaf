/*
 * The steps of the sets that multiply 4 rows with one input at a time, written once. A set defines what its
 * instructions are good at,
 *
 *   Levels                   the levels of 16 columns
 *   load_levels(levels)      makes them
 *   Sums                     sums of 4 rows with one input, in the making
 *   start_sums(start)        what they start with
 *   add_word(sums, weights, levels, word, range)
 *                            adds a word of each row: words 0 .. 3 meet levels[0], words 4 .. 7 levels[1]
 *   end_sums(sums, range)    the sums, once the last word is in
 *   TILE_INPUTS              inputs that are taken together where there are several
 *
 * and then includes this. Statements stand in the order in which instructions should run: sums that do not
 * wait for each other side by side, each register of weights used up soon after it is loaded. The compiler
 * is told to keep that order (meson.build).
 */

static inline void
clear_rows(float32x4_t *rows)
{
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    rows[group] = vdupq_n_f32(0.0f);
  }
}

static inline void
store_rows(const float32x4_t *rows, float *f)
{
#pragma GCC unroll 4
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    vst1q_f32(f + group * GEM_NEON_GROUP_ROWS, rows[group]);
  }
}

/* f = fma(sums, scale, f) */
static inline float32x4_t
add_scaled(float32x4_t f, Sums sums, float32x4_t scale, WeightRange range)
{
  return vfmaq_f32(f, vcvtq_f32_s32(end_sums(sums, range)), scale);
}

/* ---- one input ---- */

/* A block of 8 rows: two groups side by side. Sums start with what the offset of the weights takes off. */
static inline void
single_q4_0_block(
    const uint8_t *data, const uint8_t *scales, const Levels *levels, int32x4_t start, float32x4_t *rows)
{
  Sums sums[2] = {start_sums(start), start_sums(start)};
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++) {
#pragma GCC unroll 2
    for (size_t group = 0; group < 2; group++) {
      uint8x16_t nibbles = vld1q_u8(data + word * GEM_NEON_WORD_BYTES + group * 16);
      sums[group] = add_word(sums[group], gem_neon_low_nibbles(nibbles), levels, word, RANGE_NIBBLE);
      sums[group] = add_word(sums[group], gem_neon_high_nibbles(nibbles), levels, 4 + word, RANGE_NIBBLE);
    }
  }
  rows[0] = add_scaled(rows[0], sums[0], gem_neon_load_halves(scales), RANGE_NIBBLE);
  rows[1] = add_scaled(rows[1], sums[1], gem_neon_load_halves(scales + 8), RANGE_NIBBLE);
}

static void
single_q4_0(const uint8_t *data, size_t blocks, const int8_t *levels, const int32_t *sums, float *f)
{
  const uint8_t *scales = data + blocks * 4 * GEM_NEON_WORD_BYTES;
  float32x4_t rows[GEM_NEON_GROUPS];
  clear_rows(rows);
  for (size_t block = 0; block < blocks; block++) {
    const Levels both[] = {load_levels(levels), load_levels(levels + 16)};
    int32x4_t start = vdupq_n_s32(-8 * (sums[0] + sums[1]));
    single_q4_0_block(data, scales, both, start, rows);
    single_q4_0_block(data + 32, scales + 16, both, start, rows + 2);
    data += 4 * GEM_NEON_WORD_BYTES;
    scales += GEM_PANEL_ROWS * 2;
    levels += 32;
    sums += 2;
  }
  store_rows(rows, f);
}

static inline void
single_q8_0_block(const uint8_t *data, const uint8_t *scales, const Levels *levels, float32x4_t *rows)
{
  Sums sums[2] = {start_sums(vdupq_n_s32(0)), start_sums(vdupq_n_s32(0))};
#pragma GCC unroll 8
  for (size_t word = 0; word < 8; word++) {
#pragma GCC unroll 2
    for (size_t group = 0; group < 2; group++) {
      int8x16_t weights = vreinterpretq_s8_u8(vld1q_u8(data + word * GEM_NEON_WORD_BYTES + group * 16));
      sums[group] = add_word(sums[group], weights, levels, word, RANGE_BYTE);
    }
  }
  rows[0] = add_scaled(rows[0], sums[0], gem_neon_load_halves(scales), RANGE_BYTE);
  rows[1] = add_scaled(rows[1], sums[1], gem_neon_load_halves(scales + 8), RANGE_BYTE);
}

static void
single_q8_0(const uint8_t *data, size_t blocks, const int8_t *levels, float *f)
{
  const uint8_t *scales = data + blocks * 8 * GEM_NEON_WORD_BYTES;
  float32x4_t rows[GEM_NEON_GROUPS];
  clear_rows(rows);
  for (size_t block = 0; block < blocks; block++) {
    const Levels both[] = {load_levels(levels), load_levels(levels + 16)};
    single_q8_0_block(data, scales, both, rows);
    single_q8_0_block(data + 32, scales + 16, both, rows + 2);
    data += 8 * GEM_NEON_WORD_BYTES;
    scales += GEM_PANEL_ROWS * 2;
    levels += 32;
  }
  store_rows(rows, f);
}

/* Four sub-blocks of 4 rows: those that share 4 words of high pairs. */
static inline float32x4_t
single_q6_k_group(float32x4_t f,
                  const GemNeonQ6kGroup *from,
                  size_t at,
                  const Levels *levels,
                  const int32x4_t *starts,
                  const float (*scales)[GEM_PANEL_ROWS])
{
  Sums sums[4];
#pragma GCC unroll 4
  for (size_t part = 0; part < 4; part++) {
    sums[part] = start_sums(starts[part]);
  }
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++, at += GEM_NEON_WORD_BYTES) {
    uint8x16_t weights[4];
    gem_neon_join_q6_k(vld1q_u8(from->pairs + at), vld1q_u8(from->even + at), vld1q_u8(from->odd + at),
                       weights);
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
      sums[part] =
          add_word(sums[part], vreinterpretq_s8_u8(weights[part]), &levels[part], word, RANGE_SIX_UNSIGNED);
    }
  }
#pragma GCC unroll 4
  for (size_t part = 0; part < 4; part++) {
    f = add_scaled(f, sums[part], vld1q_f32(scales[part]), RANGE_SIX_UNSIGNED);
  }
  return f;
}

static void
single_q6_k(const uint8_t *data, const int8_t *levels, const int32_t *sums, float *f)
{
  float scales[GEM_NEON_MOST_SUBS][GEM_PANEL_ROWS];
  gem_neon_decode_q6_k_scales(data, scales);
  for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
    vst1q_f32(f + group * GEM_NEON_GROUP_ROWS, vdupq_n_f32(0.0f));
  }
  for (size_t g = 0; g < 4; g++) {
    GemNeonQ6kGroup from = gem_neon_q6_k_group(data, g);
    Levels parts[4];
    int32x4_t starts[4];
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
      size_t col = from.col + part * 32;
      parts[part] = load_levels(levels + col);
      starts[part] = vdupq_n_s32(-32 * sums[col / GEM_SUM_COLS]);
    }
    for (size_t row = 0; row < GEM_PANEL_ROWS; row += GEM_NEON_GROUP_ROWS) {
      const float(*row_scales)[GEM_PANEL_ROWS] = (const float(*)[GEM_PANEL_ROWS])(scales[g * 4] + row);
      float32x4_t sum = vld1q_f32(f + row);
      vst1q_f32(f + row, single_q6_k_group(sum, &from, row * GEM_NEON_WORD_COLS, parts, starts, row_scales));
    }
  }
}

static void
single(GemType type, const uint8_t *data, size_t width, const int8_t *levels, const int32_t *sums, float *f)
{
  if (type == GEM_TYPE_Q6_K) {
    single_q6_k(data, levels, sums, f);
  } else if (type == GEM_TYPE_Q8_0) {
    single_q8_0(data, width / 32, levels, f);
  } else {
    single_q4_0(data, width / 32, levels, sums, f);
  }
}

/* ---- several inputs ---- */

/* Four rows of a decoded sub-block with n inputs: rows[i] = fma(sums, scale, rows[i]). The last three
 * parameters are constants. */
static inline __attribute__((always_inline)) void
tile_group(const int8_t *weights,
           const float *scale,
           const Levels (*levels)[2],
           float32x4_t *rows,
           size_t n,
           size_t words,
           WeightRange range)
{
  Sums sums[TILE_INPUTS];
#pragma GCC unroll 4
  for (size_t i = 0; i < n; i++) {
    sums[i] = start_sums(vdupq_n_s32(0));
  }
#pragma GCC unroll 8
  for (size_t word = 0; word < words; word++) {
    int8x16_t loaded = vld1q_s8(weights + word * GEM_NEON_WORD_BYTES);
#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
      sums[i] = add_word(sums[i], loaded, levels[i], word, range);
    }
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < n; i++) {
    rows[i] = add_scaled(rows[i], sums[i], vld1q_f32(scale), range);
  }
}

/* A decoded chunk with n inputs, n <= TILE_INPUTS; the last three parameters are constants. */
static inline __attribute__((always_inline)) void
tile(const GemNeonChunk *chunk,
     const int8_t *levels,
     size_t stride,
     float (*f)[GEM_PANEL_ROWS],
     size_t n,
     size_t words,
     WeightRange range)
{
  float32x4_t rows[GEM_NEON_GROUPS][TILE_INPUTS];
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    rows[i / n][i % n] = vdupq_n_f32(0.0f);
  }
  const int8_t *weights = chunk->weights;
  for (size_t sub = 0; sub < chunk->subs; sub++, weights += words * GEM_NEON_WORD_BYTES) {
    Levels parts[TILE_INPUTS][2];
#pragma GCC unroll 4
    for (size_t i = 0; i < n; i++) {
      const int8_t *from = levels + i * stride + chunk->first_col[sub];
      parts[i][0] = load_levels(from);
      parts[i][1] = words == 8 ? load_levels(from + 16) : parts[i][0];
    }
#pragma GCC unroll 4
    for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
      tile_group(weights + group * 16, chunk->scales[sub] + group * GEM_NEON_GROUP_ROWS, parts, rows[group],
                 n, words, range);
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    vst1q_f32(f[i % n] + i / n * GEM_NEON_GROUP_ROWS, rows[i / n][i % n]);
  }
}

/* The widest tile that n inputs fill. */
static inline __attribute__((always_inline)) size_t
tiles(const GemNeonChunk *chunk,
      const int8_t *levels,
      size_t stride,
      size_t n,
      float (*f)[GEM_PANEL_ROWS],
      size_t words,
      WeightRange range)
{
  if (n >= TILE_INPUTS) {
    tile(chunk, levels, stride, f, TILE_INPUTS, words, range);
    return TILE_INPUTS;
  }
  tile(chunk, levels, stride, f, 1, words, range);
  return 1;
}

static size_t
many(const GemNeonChunk *chunk, const int8_t *levels, size_t stride, size_t n, float (*f)[GEM_PANEL_ROWS])
{
  if (chunk->type == GEM_TYPE_Q6_K) {
    return tiles(chunk, levels, stride, n, f, 4, RANGE_SIX);
  }
  if (chunk->type == GEM_TYPE_Q8_0) {
    return tiles(chunk, levels, stride, n, f, 8, RANGE_BYTE);
  }
  return tiles(chunk, levels, stride, n, f, 8, RANGE_NIBBLE);
}
