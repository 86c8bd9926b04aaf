/* Keys and values into tiles of 8 bits: kernels/gem-kv.h. */
#include "kernels/gem-attend-levels.h"
#include "kernels/gem-kv-store.h"
#include "kernels/portable/gem-portable.h"

/* Levels [D] of n values, zeros behind them; returns the upper half of their scale, rounded up so that no
 * level is beyond 127. */
static inline uint16_t
quantize(const float *x, size_t n, int8_t *levels, size_t dim)
{
  uint16_t upper_half = gem_kv_choose_scale(gem_attend_find_largest(x, n));
  if (upper_half == 0) {
    memset(levels, 0, dim);
    return 0;
  }
  gem_attend_round_levels(x, n, 1.0f / gem_kv_scale(upper_half), levels);
  memset(levels + n, 0, dim - n);
  return upper_half;
}

static inline void
store_head(const GemKvForm *form, const float *keys, const float *values, uint8_t *head, size_t place)
{
  int8_t levels[GEM_KV_MOST_DIM];
  size_t dim = gem_kv_dim(form);
  uint16_t scale = quantize(keys, form->head_dim, levels, dim);
  for (size_t four = 0; four < dim / 4; four++) {
    memcpy(head + gem_kv_key_at(place, four), levels + four * 4, 4);
  }
  gem_kv_store_scale(head + gem_kv_key_scales_offset(dim), place, scale);

  scale = quantize(values, form->head_dim, levels, dim);
  uint8_t *to = head + gem_kv_values_offset(dim) + gem_kv_value_at(dim, place, 0);
  for (size_t i = 0; i < dim; i++) {
    to[i * 4] = (uint8_t)levels[i];
  }
  gem_kv_store_scale(head + gem_kv_value_scales_offset(dim), place, scale);
}

void
GEM_PORTABLE(kv_store)(const GemKvForm *form,
                       const float *keys,
                       const float *values,
                       size_t n,
                       uint8_t *const *tiles,
                       const uint8_t *places)
{
  gem_kv_store_heads(form, keys, values, n, tiles, places, store_head);
}
