/* Attention over tiles of halves, in singles. */
#include "kernels/gem-attend.h"
#include "kernels/gem-half.h"
#include "kernels/portable/gem-portable.h"

/* Dimensions that are decoded at a time, for all queries. */
enum { DIMS = 64 };

static inline void
prepare(GemAttendQuery *query, const GemKvForm *form)
{
  query->factor = 0x1.715476p0f / sqrtf((float)form->head_dim);
}

static inline size_t
dims_from(size_t first, size_t dims)
{
  return dims - first < DIMS ? dims - first : DIMS;
}

static inline void
decode(const uint16_t *halves, size_t count, float *values)
{
#pragma omp simd
  for (size_t i = 0; i < count; i++) {
    values[i] = gem_half_decode(halves[i]);
  }
}

/* Products of all queries with the keys of one tile; members [16] of each. */
static inline void
multiply_tile(const GemAttendQuery *queries,
              size_t count,
              const GemAttendChunk *chunk,
              const uint16_t *keys,
              float products[GEM_ATTEND_QUERIES][GEM_KV_TILE])
{
  float decoded[DIMS * GEM_KV_TILE];
  memset(products, 0, GEM_ATTEND_QUERIES * sizeof *products);
  for (size_t first = 0; first < chunk->head_dim; first += DIMS) {
    size_t dims = dims_from(first, chunk->head_dim);
    decode(keys + first * GEM_KV_TILE, dims * GEM_KV_TILE, decoded);
    for (size_t i = 0; i < count; i++) {
      for (size_t d = 0; d < dims; d++) {
        float value = queries[i].q[first + d];
#pragma omp simd
        for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
          products[i][lane] = fmaf(value, decoded[d * GEM_KV_TILE + lane], products[i][lane]);
        }
      }
    }
  }
}

/* What one query's chunk is made of; e becomes weights. */
typedef struct {
  uint32_t masks[GEM_KV_CHUNK_TILES];
  float e[GEM_ATTEND_MEMBERS];
} Weights;

static inline float
find_largest(const Weights *weights, size_t n_tiles)
{
  float largest = GEM_ATTEND_NOTHING;
  for (size_t m = 0; m < n_tiles * GEM_KV_TILE; m++) {
    bool is_seen = (weights->masks[m / GEM_KV_TILE] >> m % GEM_KV_TILE & 1) != 0;
    largest = is_seen && weights->e[m] > largest ? weights->e[m] : largest;
  }
  return largest;
}

/* e to weights and their sum. What is not seen has weight 0. */
static inline float
weigh(Weights *weights, size_t n_tiles, float largest)
{
  float lanes[GEM_KV_TILE] = {0.0f};
  for (size_t t = 0; t < n_tiles; t++) {
    float *e = weights->e + t * GEM_KV_TILE;
#pragma omp simd
    for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
      float weight = gem_attend_exp2(e[lane] - largest);
      e[lane] = (weights->masks[t] >> lane & 1) != 0 ? weight : 0.0f;
      lanes[lane] += e[lane];
    }
  }
  return gem_attend_sum_lanes(lanes);
}

/* A += weight * value, member by member, for the members that a query sees. */
static inline void
add_values(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk, const Weights *weights)
{
  for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m++) {
    size_t place = m % GEM_KV_TILE;
    const uint16_t *row =
        (const uint16_t *)(const void *)chunk->heads[m / GEM_KV_TILE] + (GEM_KV_TILE + place) * chunk->dim;
    for (size_t first = 0; first < chunk->head_dim; first += DIMS) {
      float values[DIMS];
      size_t dims = dims_from(first, chunk->head_dim);
      decode(row + first, dims, values);
      for (size_t i = 0; i < count; i++) {
        if ((weights[i].masks[m / GEM_KV_TILE] >> place & 1) == 0) {
          continue;
        }
        float *out = queries[i].out + first;
#pragma omp simd
        for (size_t d = 0; d < dims; d++) {
          out[d] = fmaf(weights[i].e[m], values[d], out[d]);
        }
      }
    }
  }
}

static inline void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  Weights weights[GEM_ATTEND_QUERIES];
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    float products[GEM_ATTEND_QUERIES][GEM_KV_TILE];
    multiply_tile(queries, count, chunk, (const uint16_t *)(const void *)chunk->heads[t], products);
    for (size_t i = 0; i < count; i++) {
      weights[i].masks[t] = gem_attend_mask(&queries[i], chunk->member + (uint32_t)(t * GEM_KV_TILE));
      for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
        weights[i].e[t * GEM_KV_TILE + lane] = products[i][lane] * queries[i].factor;
      }
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (!gem_attend_sees(&queries[i], chunk)) {
      continue;
    }
    float fading = gem_attend_raise(&queries[i], find_largest(&weights[i], chunk->n_tiles));
    queries[i].sum = queries[i].sum * fading + weigh(&weights[i], chunk->n_tiles, queries[i].largest);
    for (size_t d = 0; d < chunk->head_dim; d++) {
      queries[i].out[d] *= fading;
    }
  }
  add_values(queries, count, chunk, weights);
}

void
GEM_PORTABLE(attend_half)(const GemKvForm *form,
                          const GemKvQueries *queries,
                          const GemKvGroup *group,
                          const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, prepare, run);
}
