#include "kernels/reference/gem-reference.h"

#include <math.h>

/* The bytes of one head in the j-th row that the query sees. */
static inline const uint8_t *
head_of_row(const GemKvRows *rows, size_t kv_head, const uint32_t *visible, size_t j)
{
  size_t row = visible ? visible[j] : j;
  return rows->data + row * rows->row_bytes + kv_head * rows->head_bytes;
}

/* q . key over head_dim stored values. */
static float
score_key(const float *q, GemType type, const uint8_t *key, size_t head_dim)
{
  float buffer[GEM_REFERENCE_CHUNK];
  float score = 0.0f;
  for (size_t start = 0; start < head_dim; start += GEM_REFERENCE_CHUNK) {
    size_t width = head_dim - start < GEM_REFERENCE_CHUNK ? head_dim - start : GEM_REFERENCE_CHUNK;
    score += gem_reference_dot(q + start, gem_reference_chunk(type, key, start, width, buffer), width);
  }
  return score;
}

/* out += weight * value over head_dim stored values. */
static void
add_value(float *out, float weight, GemType type, const uint8_t *value, size_t head_dim)
{
  float buffer[GEM_REFERENCE_CHUNK];
  for (size_t start = 0; start < head_dim; start += GEM_REFERENCE_CHUNK) {
    size_t width = head_dim - start < GEM_REFERENCE_CHUNK ? head_dim - start : GEM_REFERENCE_CHUNK;
    const float *chunk = gem_reference_chunk(type, value, start, width, buffer);
    for (size_t i = 0; i < width; i++) {
      out[start + i] += weight * chunk[i];
    }
  }
}

void
gem_reference_attend(const float *q,
                     size_t heads,
                     size_t kv_heads,
                     size_t head_dim,
                     const GemKvRows *keys,
                     const GemKvRows *values,
                     const uint32_t *visible,
                     size_t count,
                     float *scores,
                     float *out)
{
  float scale = 1.0f / sqrtf((float)head_dim);
  for (size_t head = 0; head < heads; head++) {
    size_t kv_head = head * kv_heads / heads;
    const float *query = q + head * head_dim;
    float *result = out + head * head_dim;
    for (size_t j = 0; j < count; j++) {
      scores[j] = scale * score_key(query, keys->type, head_of_row(keys, kv_head, visible, j), head_dim);
    }
    gem_reference_softmax(scores, count);

    memset(result, 0, head_dim * sizeof(float));
    for (size_t j = 0; j < count; j++) {
      add_value(result, scores[j], values->type, head_of_row(values, kv_head, visible, j), head_dim);
    }
  }
}
