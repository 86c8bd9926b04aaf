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

/* The same for whole sums. */
static inline int32x4_t
add_whole(int32x4_t total, Sums sums, int32x4_t scale, WeightRange range)
{
  return vmlaq_s32(total, end_sums(sums, range), scale);
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
static inline int32x4_t
single_q6_k_group(int32x4_t total,
                  const GemNeonQ6kGroup *from,
                  size_t at,
                  const Levels *levels,
                  const int32x4_t *starts,
                  const int32_t (*scales)[GEM_PANEL_ROWS])
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
    total = add_whole(total, sums[part], vld1q_s32(scales[part]), RANGE_SIX_UNSIGNED);
  }
  return total;
}

/* Scales are whole, and so are the sums of a chunk, less d. */
static void
single_q6_k(const uint8_t *data, const int8_t *levels, const int32_t *sums, float *f)
{
  int32_t scales[GEM_NEON_MOST_SUBS][GEM_PANEL_ROWS];
  int32_t totals[GEM_PANEL_ROWS] = {0};
  gem_neon_decode_q6_k_scales(data, scales);
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
      const int32_t(*row_scales)[GEM_PANEL_ROWS] = (const int32_t(*)[GEM_PANEL_ROWS])(scales[g * 4] + row);
      int32x4_t total = vld1q_s32(totals + row);
      vst1q_s32(totals + row,
                single_q6_k_group(total, &from, row * GEM_NEON_WORD_COLS, parts, starts, row_scales));
    }
  }
  for (size_t row = 0; row < GEM_PANEL_ROWS; row += GEM_NEON_GROUP_ROWS) {
    vst1q_f32(f + row, vmulq_f32(gem_neon_q6_k_d(data, row), vcvtq_f32_s32(vld1q_s32(totals + row))));
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

/* Four rows of a decoded sub-block with n inputs. The last three parameters are constants. */
static inline __attribute__((always_inline)) void
tile_group(
    const int8_t *weights, const Levels (*levels)[2], Sums *sums, size_t n, size_t words, WeightRange range)
{
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
}

/* The levels of a sub-block of n inputs. */
static inline __attribute__((always_inline)) void
load_tile(const int8_t *levels, size_t stride, Levels (*parts)[2], size_t n, size_t words)
{
#pragma GCC unroll 4
  for (size_t i = 0; i < n; i++) {
    const int8_t *from = levels + i * stride;
    parts[i][0] = load_levels(from);
    parts[i][1] = words == 8 ? load_levels(from + 16) : parts[i][0];
  }
}

/* A decoded chunk of blocks of 32 columns with n inputs, n <= TILE_INPUTS; the last two parameters are
 * constants. */
static inline __attribute__((always_inline)) void
tile_blocks(const GemNeonChunk *chunk,
            const int8_t *levels,
            size_t stride,
            float (*f)[GEM_PANEL_ROWS],
            size_t n,
            WeightRange range)
{
  float32x4_t rows[GEM_NEON_GROUPS][TILE_INPUTS];
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    rows[i / n][i % n] = vdupq_n_f32(0.0f);
  }
  const int8_t *weights = chunk->weights;
  for (size_t sub = 0; sub < chunk->subs; sub++, weights += 8 * GEM_NEON_WORD_BYTES) {
    Levels parts[TILE_INPUTS][2];
    load_tile(levels + chunk->first_col[sub], stride, parts, n, 8);
#pragma GCC unroll 4
    for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
      Sums sums[TILE_INPUTS];
      tile_group(weights + group * 16, parts, sums, n, 8, range);
      float32x4_t scale = vld1q_f32(chunk->scales[sub] + group * GEM_NEON_GROUP_ROWS);
#pragma GCC unroll 4
      for (size_t i = 0; i < n; i++) {
        rows[group][i] = add_scaled(rows[group][i], sums[i], scale, range);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    vst1q_f32(f[i % n] + i / n * GEM_NEON_GROUP_ROWS, rows[i / n][i % n]);
  }
}

/* The same of Q6_K. */
static inline __attribute__((always_inline)) void
tile_q6_k(
    const GemNeonChunk *chunk, const int8_t *levels, size_t stride, float (*f)[GEM_PANEL_ROWS], size_t n)
{
  int32x4_t totals[GEM_NEON_GROUPS][TILE_INPUTS];
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    totals[i / n][i % n] = vdupq_n_s32(0);
  }
  const int8_t *weights = chunk->weights;
  for (size_t sub = 0; sub < chunk->subs; sub++, weights += 4 * GEM_NEON_WORD_BYTES) {
    Levels parts[TILE_INPUTS][2];
    load_tile(levels + chunk->first_col[sub], stride, parts, n, 4);
#pragma GCC unroll 4
    for (size_t group = 0; group < GEM_NEON_GROUPS; group++) {
      Sums sums[TILE_INPUTS];
      tile_group(weights + group * 16, parts, sums, n, 4, RANGE_SIX);
      int32x4_t scale = vld1q_s32(chunk->whole_scales[sub] + group * GEM_NEON_GROUP_ROWS);
#pragma GCC unroll 4
      for (size_t i = 0; i < n; i++) {
        totals[group][i] = add_whole(totals[group][i], sums[i], scale, RANGE_SIX);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < GEM_NEON_GROUPS * n; i++) {
    size_t row = i / n * GEM_NEON_GROUP_ROWS;
    vst1q_f32(f[i % n] + row, vmulq_f32(vld1q_f32(chunk->d + row), vcvtq_f32_s32(totals[i / n][i % n])));
  }
}

/* A decoded chunk with n inputs; n and `type` are constants. */
static inline __attribute__((always_inline)) void
tile(const GemNeonChunk *chunk,
     const int8_t *levels,
     size_t stride,
     float (*f)[GEM_PANEL_ROWS],
     size_t n,
     GemType type)
{
  if (type == GEM_TYPE_Q6_K) {
    tile_q6_k(chunk, levels, stride, f, n);
  } else {
    tile_blocks(chunk, levels, stride, f, n, type == GEM_TYPE_Q8_0 ? RANGE_BYTE : RANGE_NIBBLE);
  }
}

/* The widest tile that n inputs fill. */
static inline __attribute__((always_inline)) size_t
tiles(const GemNeonChunk *chunk,
      const int8_t *levels,
      size_t stride,
      size_t n,
      float (*f)[GEM_PANEL_ROWS],
      GemType type)
{
  if (n >= TILE_INPUTS) {
    tile(chunk, levels, stride, f, TILE_INPUTS, type);
    return TILE_INPUTS;
  }
  tile(chunk, levels, stride, f, 1, type);
  return 1;
}

static size_t
many(const GemNeonChunk *chunk, const int8_t *levels, size_t stride, size_t n, float (*f)[GEM_PANEL_ROWS])
{
  if (chunk->type == GEM_TYPE_Q6_K) {
    return tiles(chunk, levels, stride, n, f, GEM_TYPE_Q6_K);
  }
  if (chunk->type == GEM_TYPE_Q8_0) {
    return tiles(chunk, levels, stride, n, f, GEM_TYPE_Q8_0);
  }
  return tiles(chunk, levels, stride, n, f, GEM_TYPE_Q4_0);
}
