/* Keys and values into tiles: kernels/gem-kv.h. */
#include "kernels/gem-attend.h"
#include "kernels/reference/gem-blocks.h"
#include "kernels/reference/gem-reference.h"

/* The scale of n values as its upper half, rounded up so that no level is beyond 127, but finite. */
static uint16_t
choose_scale(const float *x, size_t n)
{
  float largest = 0.0f;
  for (size_t i = 0; i < n; i++) {
    largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  }
  if (!(largest > GEM_ATTEND_SMALLEST)) {
    return 0;
  }
  float scale = largest / 127.0f;
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  return isinf(scale) ? GEM_ATTEND_LARGEST_SCALE : (uint16_t)((bits + 0xffff) >> 16);
}

/* x[i] as a level; 0 beyond the last value. */
static uint8_t
level_of(const float *x, size_t i, size_t n, float inverse)
{
  return i < n ? (uint8_t)(int8_t)gem_block_level(x[i], inverse, -127.0f, 127.0f) : 0;
}

static void
store_head(const GemKvForm *form, const float *keys, const float *values, uint8_t *head, size_t place)
{
  size_t dim = gem_kv_dim(form);
  uint16_t key_scale = choose_scale(keys, form->head_dim);
  uint16_t value_scale = choose_scale(values, form->head_dim);
  float key_inverse = key_scale > 0 ? 1.0f / gem_kv_scale(key_scale) : 0.0f;
  float value_inverse = value_scale > 0 ? 1.0f / gem_kv_scale(value_scale) : 0.0f;
  uint8_t *value_levels = head + gem_kv_values_offset(dim);
  for (size_t i = 0; i < dim; i++) {
    head[gem_kv_key_at(place, i / 4) + i % 4] = level_of(keys, i, form->head_dim, key_inverse);
    value_levels[gem_kv_value_at(dim, place, i)] = level_of(values, i, form->head_dim, value_inverse);
  }
  memcpy(head + gem_kv_key_scales_offset(dim) + place * sizeof key_scale, &key_scale, sizeof key_scale);
  memcpy(head + gem_kv_value_scales_offset(dim) + place * sizeof value_scale, &value_scale,
         sizeof value_scale);
}

void
gem_reference_kv_store(const GemKvForm *form,
                       const float *keys,
                       const float *values,
                       size_t n,
                       uint8_t *const *tiles,
                       const uint8_t *places)
{
  size_t row = form->kv_heads * form->head_dim;
  for (size_t i = 0; i < n; i++) {
    for (size_t head = 0; head < form->kv_heads; head++) {
      size_t at = i * row + head * form->head_dim;
      store_head(form, keys + at, values + at, tiles[i] + head * gem_kv_head_bytes(form), places[i]);
    }
  }
}

static void
store_half_head(const GemKvForm *form, const float *keys, const float *values, uint16_t *head, size_t place)
{
  size_t dim = gem_kv_dim(form);
  uint16_t *row = head + (GEM_KV_TILE + place) * dim;
  for (size_t i = 0; i < dim; i++) {
    head[i * GEM_KV_TILE + place] = i < form->head_dim ? gem_float_to_half(keys[i]) : 0;
    row[i] = i < form->head_dim ? gem_float_to_half(values[i]) : 0;
  }
}

void
gem_reference_kv_store_half(const GemKvForm *form,
                            const float *keys,
                            const float *values,
                            size_t n,
                            uint8_t *const *tiles,
                            const uint8_t *places)
{
  size_t row = form->kv_heads * form->head_dim;
  for (size_t i = 0; i < n; i++) {
    for (size_t head = 0; head < form->kv_heads; head++) {
      size_t at = i * row + head * form->head_dim;
      void *place = tiles[i] + head * gem_kv_head_bytes(form);
      store_half_head(form, keys + at, values + at, place, places[i]);
    }
  }
}
