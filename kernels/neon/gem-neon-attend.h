/*
 * Attention over tiles of 8 bits, written once for the sets that differ in how they add up products. A set
 * includes its Sums (gem-neon-sums.h, gem-neon-dot-sums.h), defines what there are registers for,
 *
 *   SUMS_TOGETHER   sums in the making, side by side
 *   KEY_QUERIES     queries that meet a register of keys together
 *   VALUE_QUERIES   and one of values
 *
 * and then includes this. A register holds four dimensions of 4 keys, or four values of 4 dimensions: rows of
 * a matrix are the one or the other, its columns dimensions or members, and levels those of a query or of its
 * weights. gem-attend-levels.h does the rest.
 */
#include "kernels/gem-attend-levels.h"

enum {
  GROUPS = GEM_KV_TILE / GEM_NEON_GROUP_ROWS, /* of a tile's keys, and at most of dimensions at a time */
  STEP = 16,                            /* dimensions of a query, or members, whose levels are one load */
  MOST_LEVELS = 2 * GEM_ATTEND_QUERIES, /* each query has one for keys, and two for values */
};

/* Each level has a sum of its own at least, and the groups that go together leave none over: add_step() would
 * stand still, or go beyond its totals. Of the numbers of queries below; a set has no more than it says. */
#define AT_MOST(n, most) ((n) < (most) ? (n) : (most))
#define DIVIDES(levels, groups)                                                                              \
  (SUMS_TOGETHER / (levels) >= (groups) || (groups) % (SUMS_TOGETHER / (levels)) == 0)
_Static_assert(SUMS_TOGETHER >= KEY_QUERIES && SUMS_TOGETHER >= 2 * VALUE_QUERIES, "too few sums");
_Static_assert(DIVIDES(1, GROUPS) && DIVIDES(AT_MOST(2, KEY_QUERIES), GROUPS) &&
                   DIVIDES(AT_MOST(3, KEY_QUERIES), GROUPS) && DIVIDES(KEY_QUERIES, GROUPS),
               "groups of keys are left over");
_Static_assert(DIVIDES(2, GROUPS) && DIVIDES(2 * AT_MOST(2, VALUE_QUERIES), GROUPS) &&
                   DIVIDES(2 * AT_MOST(3, VALUE_QUERIES), GROUPS / 2) &&
                   DIVIDES(2 * VALUE_QUERIES, GROUPS / 2),
               "groups of dimensions are left over");
#undef DIVIDES
#undef AT_MOST

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* totals[count][groups] += the products of `groups` registers a word, words `stride` apart, with the STEP
 * columns of levels[count]. What is constant where it is called is so here: all loops are unrolled. */
ALWAYS_INLINE void
add_step(const uint8_t *data,
         size_t stride,
         size_t groups,
         const Levels *levels,
         size_t count,
         int32x4_t (*totals)[GROUPS])
{
  size_t together = SUMS_TOGETHER / count < groups ? SUMS_TOGETHER / count : groups;
#pragma GCC unroll 4
  for (size_t first = 0; first < groups; first += together) {
    Sums sums[MOST_LEVELS][GROUPS];
#pragma GCC unroll 16
    for (size_t i = 0; i < count * together; i++) {
      sums[i / together][i % together] = start_sums(totals[i / together][first + i % together]);
    }
#pragma GCC unroll 4
    for (size_t word = 0; word < STEP / GEM_NEON_WORD_COLS; word++) {
#pragma GCC unroll 4
      for (size_t group = 0; group < together; group++) {
        int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(data + word * stride + (first + group) * 16));
#pragma GCC unroll 8
        for (size_t i = 0; i < count; i++) {
          sums[i][group] = add_word(sums[i][group], bytes, &levels[i], word, RANGE_BYTE);
        }
      }
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < count * together; i++) {
      totals[i / together][first + i % together] = end_sums(sums[i / together][i % together], RANGE_BYTE);
    }
  }
}

ALWAYS_INLINE void
clear_totals(size_t groups, size_t count, int32x4_t (*totals)[GROUPS])
{
#pragma GCC unroll 16
  for (size_t i = 0; i < count * groups; i++) {
    totals[i / groups][i % groups] = vdupq_n_s32(0);
  }
}

/* ---- keys ---- */

ALWAYS_INLINE void
multiply(GemAttendQuery *const *queries,
         size_t count,
         size_t dim,
         const uint8_t *keys,
         int32_t (*products)[GEM_KV_TILE])
{
  int32x4_t totals[KEY_QUERIES][GROUPS];
  clear_totals(GROUPS, count, totals);
  for (size_t d = 0; d < dim; d += STEP) {
    Levels levels[KEY_QUERIES];
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++) {
      levels[i] = load_levels(queries[i]->levels + d);
    }
    add_step(keys + d * GEM_KV_TILE, GEM_KV_TILE * GEM_NEON_WORD_COLS, GROUPS, levels, count, totals);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < count * GROUPS; i++) {
    vst1q_s32(products[i / GROUPS] + i % GROUPS * GEM_NEON_GROUP_ROWS, totals[i / GROUPS][i % GROUPS]);
  }
}

/* Branches for more queries than the set has registers for are never taken, and bounded for the compiler. */
static inline void
multiply_keys(GemAttendQuery *const *queries,
              size_t count,
              size_t dim,
              const uint8_t *keys,
              int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE])
{
  for (size_t i = 0; i < count; i += KEY_QUERIES) {
    size_t left = count - i < KEY_QUERIES ? count - i : KEY_QUERIES;
    if (left == 1) {
      multiply(queries + i, 1, dim, keys, products + i);
    } else if (left == 2) {
      multiply(queries + i, 2, dim, keys, products + i);
    } else if (left == 3) {
      multiply(queries + i, 3 < KEY_QUERIES ? 3 : KEY_QUERIES, dim, keys, products + i);
    } else {
      multiply(queries + i, KEY_QUERIES, dim, keys, products + i);
    }
  }
}

/* ---- values ---- */

/* A = A f + what the chunk adds, for 4 dimensions, of which the head has `left`. */
static inline void
add_totals(float *out, size_t left, const GemAttendWeights *weights, int32x4_t totals)
{
  if (left >= GEM_NEON_GROUP_ROWS) {
    float32x4_t faded = vmulq_n_f32(vld1q_f32(out), weights->fading);
    vst1q_f32(out, vfmaq_n_f32(faded, vcvtq_f32_s32(totals), weights->unit));
    return;
  }
  int32_t single[GEM_NEON_GROUP_ROWS];
  vst1q_s32(single, totals);
  for (size_t i = 0; i < left; i++) {
    out[i] = gem_attend_add(out[i], single[i], weights);
  }
}

/* `groups` times 4 dimensions from `first` on. */
ALWAYS_INLINE void
add_dimensions(GemAttendQuery *const *queries,
               size_t count,
               const GemAttendChunk *chunk,
               const GemAttendWeights *weights,
               size_t first,
               size_t groups)
{
  int32x4_t totals[2 * VALUE_QUERIES][GROUPS];
  size_t offset = gem_kv_values_offset(chunk->dim) + first * GEM_NEON_WORD_COLS;
  clear_totals(groups, 2 * count, totals);
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    Levels levels[2 * VALUE_QUERIES];
#pragma GCC unroll 4
    for (size_t i = 0; i < count; i++) {
      levels[2 * i] = load_levels((const int8_t *)weights[i].high + t * GEM_KV_TILE);
      levels[2 * i + 1] = load_levels((const int8_t *)weights[i].low + t * GEM_KV_TILE);
    }
    add_step(chunk->heads[t] + offset, chunk->dim * GEM_NEON_WORD_COLS, groups, levels, 2 * count, totals);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < count; i++) {
#pragma GCC unroll 4
    for (size_t group = 0; group < groups; group++) {
      size_t d = first + group * GEM_NEON_GROUP_ROWS;
      if (d < chunk->head_dim) {
        int32x4_t sum = vaddq_s32(vshlq_n_s32(totals[2 * i][group], 7), totals[2 * i + 1][group]);
        add_totals(queries[i]->out + d, chunk->head_dim - d, &weights[i], sum);
      }
    }
  }
}

/* D is a multiple of 16, thus of 4 groups. */
ALWAYS_INLINE void
add_all(GemAttendQuery *const *queries,
        size_t count,
        const GemAttendChunk *chunk,
        const GemAttendWeights *weights,
        size_t groups)
{
  for (size_t first = 0; first < chunk->head_dim; first += groups * GEM_NEON_GROUP_ROWS) {
    add_dimensions(queries, count, chunk, weights, first, groups);
  }
}

/* As multiply_keys(). */
static inline void
add_values(GemAttendQuery *const *queries,
           size_t count,
           const GemAttendChunk *chunk,
           const GemAttendWeights *weights)
{
  for (size_t i = 0; i < count; i += VALUE_QUERIES) {
    size_t left = count - i < VALUE_QUERIES ? count - i : VALUE_QUERIES;
    if (left == 1) {
      add_all(queries + i, 1, chunk, weights + i, 4);
    } else if (left == 2) {
      add_all(queries + i, 2 < VALUE_QUERIES ? 2 : VALUE_QUERIES, chunk, weights + i, 4);
    } else if (left == 3) {
      add_all(queries + i, 3 < VALUE_QUERIES ? 3 : VALUE_QUERIES, chunk, weights + i, 2);
    } else {
      add_all(queries + i, VALUE_QUERIES, chunk, weights + i, 2);
    }
  }
}

static void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  gem_attend_run_levels(queries, count, chunk, multiply_keys, add_values);
}
