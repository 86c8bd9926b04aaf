/*
 * A chunk of tiles of 8 bits, for instruction sets that leave what is done in floats to the compiler: it is
 * plain C over 16 lanes, with the reference's bits. A set's own file includes this and gives it the two
 * products of integers. Inside the kernels only.
 */
#pragma once

#include "kernels/gem-attend.h"

/* One query's weights of a chunk. */
typedef struct {
  _Alignas(GEM_KV_ALIGNMENT) float e[GEM_ATTEND_MEMBERS]; /* first e, then weights times scales of values */
  _Alignas(GEM_KV_ALIGNMENT) uint8_t high[GEM_ATTEND_MEMBERS]; /* the upper 7 bits of a weight's level */
  _Alignas(GEM_KV_ALIGNMENT) uint8_t low[GEM_ATTEND_MEMBERS];  /* the lower 7 bits */
  uint32_t masks[GEM_KV_CHUNK_TILES];                          /* members that it sees */
  float fading;                                                /* f */
  float unit;                                                  /* of a level */
} GemAttendWeights;

/* products[i][16] = levels of query i . those of each key of a tile; what is not seen may come out as
 * anything. 1 <= count <= GEM_ATTEND_QUERIES. */
typedef void
GemAttendKeys(GemAttendQuery *const *queries,
              size_t count,
              size_t dim,
              const uint8_t *keys,
              int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE]);

/* out[head_dim] = out * fading + (sum of levels * values) * unit, for each query; the sum is one of integers,
 * and the last step one gem_attend_add. */
typedef void
GemAttendValues(GemAttendQuery *const *queries,
                size_t count,
                const GemAttendChunk *chunk,
                const GemAttendWeights *weights);

/* Nearest integer, ties to even, for |x| < 2^22. */
static inline float
gem_attend_round(float x)
{
  return (x + GEM_EXP2_SHIFT) - GEM_EXP2_SHIFT;
}

static inline float
gem_attend_scale_at(const uint8_t *scales, size_t place)
{
  uint16_t scale;
  memcpy(&scale, scales + place * sizeof scale, sizeof scale);
  return gem_kv_scale(scale);
}

/* ---- queries ---- */

static inline float
gem_attend_find_largest(const float *q, size_t count)
{
  float largest = 0.0f;
#pragma omp simd reduction(max : largest)
  for (size_t i = 0; i < count; i++) {
    largest = fabsf(q[i]) > largest ? fabsf(q[i]) : largest;
  }
  return largest;
}

/* Values that are rounded together: a loop of its own length for the compiler, which else takes as many as a
 * vector has bytes, and more than a head may have. */
#define GEM_ATTEND_ROUND_LANES 16

/* 0 of what is no number. */
static inline int32_t
gem_attend_round_level(float x, float inverse)
{
  float scaled = x * inverse;
  scaled = scaled < -127.0f ? -127.0f : scaled;
  scaled = scaled > 127.0f ? 127.0f : scaled;
  return (int32_t)gem_attend_round(isnan(scaled) ? 0.0f : scaled);
}

/* Levels from -127 to 127 of x / scale; `inverse` is 1 / scale. Returns their sum. */
static inline int32_t
gem_attend_round_levels(const float *x, size_t count, float inverse, int8_t *levels)
{
  int32_t sum = 0;
  size_t i = 0;
  for (; i + GEM_ATTEND_ROUND_LANES <= count; i += GEM_ATTEND_ROUND_LANES) {
#pragma omp simd reduction(+ : sum)
    for (size_t lane = 0; lane < GEM_ATTEND_ROUND_LANES; lane++) {
      int32_t level = gem_attend_round_level(x[i + lane], inverse);
      levels[i + lane] = (int8_t)level;
      sum += level;
    }
  }
  for (; i < count; i++) {
    int32_t level = gem_attend_round_level(x[i], inverse);
    levels[i] = (int8_t)level;
    sum += level;
  }
  return sum;
}

static inline void
gem_attend_prepare_levels(GemAttendQuery *query, const GemKvForm *form)
{
  float largest = gem_attend_find_largest(query->q, form->head_dim);
  float inverse = largest > GEM_ATTEND_SMALLEST ? 127.0f / largest : 0.0f;
  query->level_sum = gem_attend_round_levels(query->q, form->head_dim, inverse, query->levels);
  memset(query->levels + form->head_dim, 0, gem_kv_dim(form) - form->head_dim);
  query->factor = gem_attend_factor(largest, form->head_dim);
}

/* ---- steps of a chunk ---- */

/* e of the 16 members of a tile. */
static inline void
gem_attend_scale_products(const GemAttendQuery *query,
                          const uint8_t *scales,
                          const int32_t products[GEM_KV_TILE],
                          float e[GEM_KV_TILE])
{
#pragma omp simd
  for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
    e[lane] = (float)products[lane] * gem_attend_scale_at(scales, lane) * query->factor;
  }
}

static inline void
gem_attend_score(GemAttendQuery *const *queries,
                 size_t count,
                 const GemAttendChunk *chunk,
                 GemAttendWeights *weights,
                 GemAttendKeys multiply)
{
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE];
    const uint8_t *scales = chunk->heads[t] + gem_kv_key_scales_offset(chunk->dim);
    gem_attend_ask_ahead(chunk, t);
    multiply(queries, count, chunk->dim, chunk->heads[t], products);
    for (size_t i = 0; i < count; i++) {
      weights[i].masks[t] = gem_attend_mask(queries[i], chunk->member + (uint32_t)(t * GEM_KV_TILE));
      gem_attend_scale_products(queries[i], scales, products[i], weights[i].e + t * GEM_KV_TILE);
    }
  }
}

/* The largest of 16 lanes. */
static inline float
gem_attend_largest_lane(const float lanes[GEM_KV_TILE])
{
  float largest = lanes[0];
#pragma omp simd reduction(max : largest)
  for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
    largest = lanes[lane] > largest ? lanes[lane] : largest;
  }
  return largest;
}

/* The largest e that is seen. */
static inline float
gem_attend_largest_seen(const GemAttendWeights *weights, size_t n_tiles)
{
  float lanes[GEM_KV_TILE];
  for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
    lanes[lane] = GEM_ATTEND_NOTHING;
  }
  for (size_t t = 0; t < n_tiles; t++) {
    const float *e = weights->e + t * GEM_KV_TILE;
#pragma omp simd
    for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
      float any = e[lane]; /* read in any case: no branch */
      float seen = (weights->masks[t] >> lane & 1) != 0 ? any : GEM_ATTEND_NOTHING;
      lanes[lane] = seen > lanes[lane] ? seen : lanes[lane];
    }
  }
  return gem_attend_largest_lane(lanes);
}

/* e of a tile to weights, which join `sums`, and those to weights times scales, the largest of which joins
 * `largest`. */
static inline void
gem_attend_weigh_tile(const GemAttendQuery *query,
                      const uint8_t *scales,
                      uint32_t mask,
                      float e[GEM_KV_TILE],
                      float sums[GEM_KV_TILE],
                      float largest[GEM_KV_TILE])
{
#pragma omp simd
  for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
    bool is_seen = (mask >> lane & 1) != 0;
    float weight = gem_attend_exp2(e[lane] - query->largest);
    float scaled = weight * gem_attend_scale_at(scales, lane);
    sums[lane] += is_seen ? weight : 0.0f;
    e[lane] = is_seen ? scaled : 0.0f;
    largest[lane] = e[lane] > largest[lane] ? e[lane] : largest[lane];
  }
}

static inline void
gem_attend_round_weights(GemAttendWeights *weights, size_t n, float inverse)
{
#pragma omp simd
  for (size_t m = 0; m < n; m++) {
    int32_t level = (int32_t)gem_attend_round(weights->e[m] * inverse);
    weights->high[m] = (uint8_t)(level >> 7);
    weights->low[m] = (uint8_t)(level & 127);
  }
}

static inline void
gem_attend_weigh(GemAttendQuery *query, const GemAttendChunk *chunk, GemAttendWeights *weights)
{
  float sums[GEM_KV_TILE] = {0.0f};
  float largest[GEM_KV_TILE] = {0.0f};
  weights->fading = gem_attend_raise(query, gem_attend_largest_seen(weights, chunk->n_tiles));
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    const uint8_t *scales = chunk->heads[t] + gem_kv_value_scales_offset(chunk->dim);
    gem_attend_weigh_tile(query, scales, weights->masks[t], weights->e + t * GEM_KV_TILE, sums, largest);
  }
  query->sum = query->sum * weights->fading + gem_attend_sum_lanes(sums);
  float most = gem_attend_largest_lane(largest);
  weights->unit = most / GEM_ATTEND_LEVEL;
  gem_attend_round_weights(weights, chunk->n_tiles * GEM_KV_TILE, gem_attend_inverse(most));
}

/* What a chunk adds to one value. */
static inline float
gem_attend_add(float out, int32_t total, const GemAttendWeights *weights)
{
  return fmaf((float)total, weights->unit, out * weights->fading);
}

/* For a set's GemAttendRun. */
static inline void
gem_attend_run_levels(GemAttendQuery *queries,
                      size_t count,
                      const GemAttendChunk *chunk,
                      GemAttendKeys multiply_keys,
                      GemAttendValues add_values)
{
  GemAttendWeights weights[GEM_ATTEND_QUERIES];
  GemAttendQuery *seeing[GEM_ATTEND_QUERIES];
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    if (gem_attend_sees(&queries[i], chunk)) {
      seeing[n++] = &queries[i];
    }
  }
  if (n == 0) {
    return;
  }
  gem_attend_score(seeing, n, chunk, weights, multiply_keys);
  for (size_t i = 0; i < n; i++) {
    gem_attend_weigh(seeing[i], chunk, &weights[i]);
  }
  add_values(seeing, n, chunk, weights);
}
