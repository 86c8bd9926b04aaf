/*
 * What the three sets of this folder share. "neon" is the Advanced SIMD of ARMv8.0, "neon-dot" adds the dot
 * product of 8-bit integers, "neon-i8mm" their matrix product. They differ in how integers meet alone: each
 * has its GemNeonSteps, and everything else here is one code for all of them.
 *
 * A register holds 4 rows: a word of 4 columns of each, or a float of each. A panel is 4 registers wide.
 */
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "kernels/gem-kernels.h"

enum {
  GEM_NEON_GROUP_ROWS = 4,                                   /* of one register */
  GEM_NEON_GROUPS = GEM_PANEL_ROWS / GEM_NEON_GROUP_ROWS,    /* of a panel */
  GEM_NEON_WORD_COLS = 4,                                    /* columns of a word */
  GEM_NEON_WORD_BYTES = GEM_NEON_WORD_COLS * GEM_PANEL_ROWS, /* one word of each row of a panel */
  GEM_NEON_MOST_SUBS = 16,                                   /* sub-blocks of a chunk, at most */
  GEM_NEON_CHUNK_LEVELS = GEM_CHUNK_COLS * GEM_PANEL_ROWS,   /* of a chunk, at most */
  GEM_NEON_TILE = 4,                                         /* inputs that are taken together, at most */
};

void
gem_neon_pack(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels);
void
gem_neon_quantize(const GemInputs *inputs, size_t first, size_t end);
void
gem_neon_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_neon_dot_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_neon_i8mm_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_neon_attend(const GemKvForm *form,
                const GemKvQueries *queries,
                const GemKvGroup *group,
                const GemKvShare *share);
void
gem_neon_dot_attend(const GemKvForm *form,
                    const GemKvQueries *queries,
                    const GemKvGroup *group,
                    const GemKvShare *share);

/* ---- a chunk of a quantized panel, decoded for many inputs ---- */

typedef struct {
  GemType type;
  size_t subs;                          /* sub-blocks, each with one scale, in the order of their sums */
  size_t sub_words;                     /* words of one: 8, for Q6_K 4 */
  size_t first_col[GEM_NEON_MOST_SUBS]; /* of a sub-block, in the chunk */
  union {
    float scales[GEM_NEON_MOST_SUBS][GEM_PANEL_ROWS];
    int32_t whole_scales[GEM_NEON_MOST_SUBS][GEM_PANEL_ROWS]; /* of Q6_K, each times d */
  };
  float d[GEM_PANEL_ROWS];
  const int8_t *weights;                 /* [subs][sub_words][16 rows][4 columns], less their offset */
  int8_t decoded[GEM_NEON_CHUNK_LEVELS]; /* where they stand, unless the panel itself has that form */
} GemNeonChunk;

void
gem_neon_decode(GemType type, const uint8_t *data, size_t width, GemNeonChunk *chunk);

/* Scales of all sub-blocks of a chunk of Q6_K, less d, in the order of their sums. */
void
gem_neon_decode_q6_k_scales(const uint8_t *data, int32_t (*scales)[GEM_PANEL_ROWS]);

/* ---- the steps of a set ---- */

/* f[16 rows] = the sums of a chunk with one input, straight from the packed form: `levels` and `sums` are
 * those of the chunk. */
typedef void
GemNeonSingle(
    GemType type, const uint8_t *data, size_t width, const int8_t *levels, const int32_t *sums, float *f);

/* f[done][16 rows] = the sums of a decoded chunk with the first of n inputs, whose levels stand `stride`
 * apart. Returns done: 1 .. GEM_NEON_TILE, at most n. */
typedef size_t
GemNeonMany(
    const GemNeonChunk *chunk, const int8_t *levels, size_t stride, size_t n, float (*f)[GEM_PANEL_ROWS]);

typedef struct {
  GemNeonSingle *single;
  size_t most_single;              /* decoding pays for more inputs than so many, for Q6_K than one */
  void (*arrange)(GemNeonChunk *); /* changes the order of decoded weights to the set's own; or NULL */
  GemNeonMany *many;
} GemNeonSteps;

void
gem_neon_linear_levels(const GemNeonSteps *steps,
                       const GemPacked *weights,
                       size_t first,
                       size_t end,
                       const GemInputs *inputs,
                       float *y);

/* Matrices of floats and halves, for all sets. */
void
gem_neon_linear_floats(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

GemNeonSingle gem_neon_dot_single;

/* ---- small steps ---- */

/* Rows of a panel that the matrix has. */
static inline size_t
gem_neon_lanes(const GemPacked *weights, size_t panel)
{
  size_t left = weights->rows - panel * GEM_PANEL_ROWS;
  return left < GEM_PANEL_ROWS ? left : GEM_PANEL_ROWS;
}

/* 4 halves at any address. */
static inline float32x4_t
gem_neon_load_halves(const uint8_t *halves)
{
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
}

/* d of 4 rows from `row` on, of a chunk of Q6_K. */
static inline float32x4_t
gem_neon_q6_k_d(const uint8_t *data, size_t row)
{
  return gem_neon_load_halves(data + 48 * GEM_NEON_WORD_BYTES + 16 * GEM_PANEL_ROWS + row * 2);
}

/* A register of 4-bit weights: columns of the first half of a block, and those of the second; 0 .. 15, with
 * their offset of 8. */
static inline int8x16_t
gem_neon_low_nibbles(uint8x16_t nibbles)
{
  return vreinterpretq_s8_u8(vandq_u8(nibbles, vdupq_n_u8(15)));
}

static inline int8x16_t
gem_neon_high_nibbles(uint8x16_t nibbles)
{
  return vreinterpretq_s8_u8(vshrq_n_u8(nibbles, 4));
}

/* One word of high pairs of 4 rows with the two words of low nibbles that they belong to: the four weights of
 * each, lowest pair first; 0 .. 63, with their offset of 32. A shift that inserts keeps the other bits of
 * its target. */
static inline void
gem_neon_join_q6_k(uint8x16_t pairs, uint8x16_t even, uint8x16_t odd, uint8x16_t *weights)
{
  uint8x16_t six_bits = vdupq_n_u8(63);
  uint8x16_t upper = vshrq_n_u8(pairs, 2);
  weights[0] = vandq_u8(vsliq_n_u8(even, pairs, 4), six_bits);
  weights[1] = vandq_u8(vsliq_n_u8(odd, upper, 4), six_bits);
  weights[2] = vandq_u8(vsriq_n_u8(pairs, even, 4), six_bits);
  weights[3] = vsriq_n_u8(upper, odd, 4);
}

/* Where the words that share high pairs 4 g .. 4 g + 3 stand in a chunk of Q6_K (four each), and the column
 * of the first of their four sub-blocks; the others follow 32 columns apart. */
typedef struct {
  const uint8_t *pairs, *even, *odd;
  size_t col;
} GemNeonQ6kGroup;

static inline GemNeonQ6kGroup
gem_neon_q6_k_group(const uint8_t *data, size_t g)
{
  const uint8_t *nibbles = data + (g / 2 * 16 + g % 2 * 4) * GEM_NEON_WORD_BYTES;
  return (GemNeonQ6kGroup){
      .pairs = data + (32 + g * 4) * GEM_NEON_WORD_BYTES,
      .even = nibbles,
      .odd = nibbles + 8 * GEM_NEON_WORD_BYTES,
      .col = g / 2 * 128 + g % 2 * 16,
  };
}
