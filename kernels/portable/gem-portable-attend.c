/* Attention over tiles of 8 bits, for sets without products of their own. */
#include "kernels/gem-attend-levels.h"
#include "kernels/portable/gem-portable.h"

enum { DIMS = 16 /* whose sums are kept at a time */ };

static inline void
multiply_keys(GemAttendQuery *const *queries,
              size_t count,
              size_t dim,
              const uint8_t *keys,
              int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE])
{
  for (size_t i = 0; i < count; i++) {
    int32_t sums[GEM_KV_TILE] = {0};
    for (size_t d = 0; d < dim; d += 4) {
      const int8_t *key = (const int8_t *)keys + d * GEM_KV_TILE;
      const int8_t *level = queries[i]->levels + d;
#pragma omp simd
      for (size_t lane = 0; lane < GEM_KV_TILE; lane++) {
        sums[lane] += key[lane * 4] * level[0] + key[lane * 4 + 1] * level[1] + key[lane * 4 + 2] * level[2] +
                      key[lane * 4 + 3] * level[3];
      }
    }
    memcpy(products[i], sums, sizeof sums);
  }
}

/* The levels times four values each of DIMS dimensions. */
static inline void
add_quad(const GemAttendWeights *weights, size_t member, const int8_t *values, int32_t totals[DIMS])
{
  int32_t levels[4];
  for (size_t p = 0; p < 4; p++) {
    levels[p] = weights->high[member + p] << 7 | weights->low[member + p];
  }
#pragma omp simd
  for (size_t d = 0; d < DIMS; d++) {
    totals[d] += values[d * 4] * levels[0] + values[d * 4 + 1] * levels[1] + values[d * 4 + 2] * levels[2] +
                 values[d * 4 + 3] * levels[3];
  }
}

static inline void
add_values(GemAttendQuery *const *queries,
           size_t count,
           const GemAttendChunk *chunk,
           const GemAttendWeights *weights)
{
  for (size_t first = 0; first < chunk->head_dim; first += DIMS) {
    size_t offset = gem_kv_values_offset(chunk->dim);
    size_t dims = chunk->head_dim - first < DIMS ? chunk->head_dim - first : DIMS;
    for (size_t i = 0; i < count; i++) {
      int32_t totals[DIMS] = {0};
      for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m += 4) {
        const uint8_t *values =
            chunk->heads[m / GEM_KV_TILE] + offset + gem_kv_value_at(chunk->dim, m % GEM_KV_TILE, first);
        add_quad(&weights[i], m, (const int8_t *)values, totals);
      }
      for (size_t d = 0; d < dims; d++) {
        queries[i]->out[first + d] = gem_attend_add(queries[i]->out[first + d], totals[d], &weights[i]);
      }
    }
  }
}

static void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  gem_attend_run_levels(queries, count, chunk, multiply_keys, add_values);
}

void
GEM_PORTABLE(attend)(const GemKvForm *form,
                     const GemKvQueries *queries,
                     const GemKvGroup *group,
                     const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, gem_attend_prepare_levels, run);
}
