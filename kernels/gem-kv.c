#include "kernels/gem-kv.h"

#include "kernels/gem-types.h"

static void
copy_level_head(size_t dim, const uint8_t *from, size_t from_place, uint8_t *to, size_t to_place)
{
  const size_t scales[] = {gem_kv_key_scales_offset(dim), gem_kv_value_scales_offset(dim)};
  for (size_t four = 0; four < dim / 4; four++) {
    memcpy(to + gem_kv_key_at(to_place, four), from + gem_kv_key_at(from_place, four), 4);
  }
  for (size_t i = 0; i < dim; i++) {
    to[gem_kv_values_offset(dim) + gem_kv_value_at(dim, to_place, i)] =
        from[gem_kv_values_offset(dim) + gem_kv_value_at(dim, from_place, i)];
  }
  for (size_t s = 0; s < 2; s++) {
    memcpy(to + scales[s] + to_place * sizeof(uint16_t), from + scales[s] + from_place * sizeof(uint16_t),
           sizeof(uint16_t));
  }
}

static void
copy_half_head(size_t dim, const uint8_t *from, size_t from_place, uint8_t *to, size_t to_place)
{
  const uint16_t *keys = (const uint16_t *)(const void *)from;
  uint16_t *to_keys = (uint16_t *)(void *)to;
  for (size_t i = 0; i < dim; i++) {
    to_keys[i * GEM_KV_TILE + to_place] = keys[i * GEM_KV_TILE + from_place];
  }
  memcpy(to_keys + (GEM_KV_TILE + to_place) * dim, keys + (GEM_KV_TILE + from_place) * dim,
         dim * sizeof(uint16_t));
}

void
gem_kv_copy(const GemKvForm *form, const uint8_t *from, size_t from_place, uint8_t *to, size_t to_place)
{
  size_t dim = gem_kv_dim(form);
  for (size_t head = 0; head < form->kv_heads; head++) {
    size_t offset = head * gem_kv_head_bytes(form);
    if (form->half) {
      copy_half_head(dim, from + offset, from_place, to + offset, to_place);
    } else {
      copy_level_head(dim, from + offset, from_place, to + offset, to_place);
    }
  }
}

static void
read_level_head(const GemKvForm *form, const uint8_t *head, size_t place, float *keys, float *values)
{
  size_t dim = gem_kv_dim(form);
  uint16_t scales[2];
  memcpy(&scales[0], head + gem_kv_key_scales_offset(dim) + place * sizeof *scales, sizeof *scales);
  memcpy(&scales[1], head + gem_kv_value_scales_offset(dim) + place * sizeof *scales, sizeof *scales);
  for (size_t i = 0; i < form->head_dim; i++) {
    int8_t key = (int8_t)head[gem_kv_key_at(place, i / 4) + i % 4];
    int8_t value = (int8_t)head[gem_kv_values_offset(dim) + gem_kv_value_at(dim, place, i)];
    keys[i] = (float)key * gem_kv_scale(scales[0]);
    values[i] = (float)value * gem_kv_scale(scales[1]);
  }
}

static void
read_half_head(const GemKvForm *form, const uint8_t *head, size_t place, float *keys, float *values)
{
  size_t dim = gem_kv_dim(form);
  const uint16_t *halves = (const uint16_t *)(const void *)head;
  for (size_t i = 0; i < form->head_dim; i++) {
    keys[i] = gem_half_to_float(halves[i * GEM_KV_TILE + place]);
    values[i] = gem_half_to_float(halves[(GEM_KV_TILE + place) * dim + i]);
  }
}

void
gem_kv_read(const GemKvForm *form, const uint8_t *tile, size_t place, float *keys, float *values)
{
  for (size_t head = 0; head < form->kv_heads; head++) {
    const uint8_t *from = tile + head * gem_kv_head_bytes(form);
    if (form->half) {
      read_half_head(form, from, place, keys + head * form->head_dim, values + head * form->head_dim);
    } else {
      read_level_head(form, from, place, keys + head * form->head_dim, values + head * form->head_dim);
    }
  }
}
