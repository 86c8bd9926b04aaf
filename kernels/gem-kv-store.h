/*
 * What every instruction set's way of storing keys and values in 8 bits has in common. The reference has its
 * own, which these are compared with.
 */
#pragma once

#include "kernels/gem-attend.h"
#include "kernels/gem-kv.h"

/* The scale of values whose largest is `largest`, as its upper half: rounded up, so that no level is beyond
 * 127, but finite. 0: they are all next to nothing. */
static inline uint16_t
gem_kv_choose_scale(float largest)
{
  if (!(largest > GEM_ATTEND_SMALLEST)) {
    return 0;
  }
  float scale = largest / 127.0f;
  uint32_t bits;
  memcpy(&bits, &scale, sizeof bits);
  return isinf(scale) ? GEM_ATTEND_LARGEST_SCALE : (uint16_t)((bits + 0xffff) >> 16);
}

static inline void
gem_kv_store_scale(uint8_t *scales, size_t place, uint16_t scale)
{
  memcpy(scales + place * sizeof scale, &scale, sizeof scale);
}

/* Asks for the lines that a position's key and value of one head go to, all in different ones: with several
 * sequences none of them is near. */
static inline void
gem_kv_prefetch_head(const uint8_t *head, size_t dim, size_t place)
{
  for (size_t four = 0; four < dim / 4; four++) {
    __builtin_prefetch(head + gem_kv_key_at(place, four), 1);
  }
  for (size_t i = 0; i < dim; i += GEM_KV_TILE) {
    __builtin_prefetch(head + gem_kv_values_offset(dim) + gem_kv_value_at(dim, place, i), 1);
  }
}

/* Stores one head of one position, keys and values [head_dim]; `head` is the head's part of the tile. */
typedef void (*GemKvStoreHead)(
    const GemKvForm *form, const float *keys, const float *values, uint8_t *head, size_t place);

/* The kernel kv_store, by a function that the compiler puts in place. */
__attribute__((always_inline)) static inline void
gem_kv_store_heads(const GemKvForm *form,
                   const float *keys,
                   const float *values,
                   size_t n,
                   uint8_t *const *tiles,
                   const uint8_t *places,
                   GemKvStoreHead store_head)
{
  size_t row = form->kv_heads * form->head_dim;
  size_t head_bytes = gem_kv_head_bytes(form);
  for (size_t i = 0; i < n; i++) {
    for (size_t head = 0; head < form->kv_heads; head++) {
      size_t at = i * row + head * form->head_dim;
      uint8_t *to = tiles[i] + head * head_bytes;
      if (head + 1 < form->kv_heads) {
        gem_kv_prefetch_head(to + head_bytes, gem_kv_dim(form), places[i]);
      }
      store_head(form, keys + at, values + at, to, places[i]);
    }
  }
}
