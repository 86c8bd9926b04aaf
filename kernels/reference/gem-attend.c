/* Attention over tiles of 8 bits. */
#include "kernels/gem-attend.h"
#include "kernels/reference/gem-blocks.h"
#include "kernels/reference/gem-reference.h"

static void
prepare(GemAttendQuery *query, const GemKvForm *form)
{
  float largest = 0.0f;
  for (size_t i = 0; i < form->head_dim; i++) {
    largest = fabsf(query->q[i]) > largest ? fabsf(query->q[i]) : largest;
  }
  float inverse = largest > GEM_ATTEND_SMALLEST ? 127.0f / largest : 0.0f;
  memset(query->levels, 0, gem_kv_dim(form));
  query->level_sum = 0;
  for (size_t i = 0; i < form->head_dim; i++) {
    query->levels[i] = (int8_t)gem_block_level(query->q[i], inverse, -127.0f, 127.0f);
    query->level_sum += query->levels[i];
  }
  query->factor = gem_attend_factor(largest, form->head_dim);
}

static float
scale_at(const uint8_t *scales, size_t place)
{
  uint16_t scale;
  memcpy(&scale, scales + place * sizeof scale, sizeof scale);
  return gem_kv_scale(scale);
}

/* The e of one position. */
static float
score(const GemAttendQuery *query, size_t dim, const uint8_t *head, size_t place)
{
  int32_t product = 0;
  for (size_t i = 0; i < dim; i++) {
    product += query->levels[i] * (int8_t)head[gem_kv_key_at(place, i / 4) + i % 4];
  }
  return (float)product * scale_at(head + gem_kv_key_scales_offset(dim), place) * query->factor;
}

static bool
is_seen(const GemAttendQuery *query, const GemAttendChunk *chunk, size_t member)
{
  uint32_t mask = gem_attend_mask(query, chunk->member + (uint32_t)(member / GEM_KV_TILE * GEM_KV_TILE));
  return (mask >> member % GEM_KV_TILE & 1) != 0;
}

/* e of all members, and the largest of those that are seen. */
static float
score_chunk(const GemAttendQuery *query, const GemAttendChunk *chunk, float e[GEM_ATTEND_MEMBERS])
{
  float largest = GEM_ATTEND_NOTHING;
  for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m++) {
    if (is_seen(query, chunk, m)) {
      e[m] = score(query, chunk->dim, chunk->heads[m / GEM_KV_TILE], m % GEM_KV_TILE);
      largest = e[m] > largest ? e[m] : largest;
    }
  }
  return largest;
}

/* From e to weights times the scales of values; returns the largest of them. */
static float
weigh_chunk(GemAttendQuery *query, const GemAttendChunk *chunk, float e[GEM_ATTEND_MEMBERS])
{
  float lanes[GEM_KV_TILE] = {0.0f};
  float largest = 0.0f;
  for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m++) {
    if (!is_seen(query, chunk, m)) {
      e[m] = 0.0f;
      continue;
    }
    float weight = gem_attend_exp2(e[m] - query->largest);
    lanes[m % GEM_KV_TILE] += weight;
    const uint8_t *head = chunk->heads[m / GEM_KV_TILE];
    e[m] = weight * scale_at(head + gem_kv_value_scales_offset(chunk->dim), m % GEM_KV_TILE);
    largest = e[m] > largest ? e[m] : largest;
  }
  query->sum += gem_attend_sum_lanes(lanes);
  return largest;
}

/* A = A fading + the chunk's values, whose weights are whole multiples of `unit`. */
static void
add_values(const GemAttendQuery *query,
           const GemAttendChunk *chunk,
           const int32_t levels[GEM_ATTEND_MEMBERS],
           float fading,
           float unit)
{
  for (size_t i = 0; i < chunk->head_dim; i++) {
    int32_t total = 0;
    for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m++) {
      const uint8_t *values = chunk->heads[m / GEM_KV_TILE] + gem_kv_values_offset(chunk->dim);
      total += levels[m] * (int8_t)values[gem_kv_value_at(chunk->dim, m % GEM_KV_TILE, i)];
    }
    query->out[i] = fmaf((float)total, unit, query->out[i] * fading);
  }
}

static void
run_query(GemAttendQuery *query, const GemAttendChunk *chunk)
{
  float weights[GEM_ATTEND_MEMBERS];
  int32_t levels[GEM_ATTEND_MEMBERS];
  float fading = gem_attend_raise(query, score_chunk(query, chunk, weights));
  query->sum *= fading;
  float largest = weigh_chunk(query, chunk, weights);
  float inverse = gem_attend_inverse(largest);
  for (size_t m = 0; m < chunk->n_tiles * GEM_KV_TILE; m++) {
    levels[m] = (int32_t)gem_block_round(weights[m] * inverse);
  }
  add_values(query, chunk, levels, fading, largest / GEM_ATTEND_LEVEL);
}

static void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  for (size_t i = 0; i < count; i++) {
    if (gem_attend_sees(&queries[i], chunk)) {
      run_query(&queries[i], chunk);
    }
  }
}

void
gem_reference_attend(const GemKvForm *form,
                     const GemKvQueries *queries,
                     const GemKvGroup *group,
                     const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, prepare, run);
}
