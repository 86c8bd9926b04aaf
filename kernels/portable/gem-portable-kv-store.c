/* Keys and values into tiles of 8 bits: kernels/gem-kv.h. */
#include "kernels/gem-attend-levels.h"
#include "kernels/portable/gem-portable.h"

/* Levels [D] of n values, zeros behind them; returns the upper half of their scale, rounded up so that no
 * level is beyond 127. */
static inline uint16_t
quantize(const float *x, size_t n, int8_t *levels, size_t dim)
{
  uint16_t upper_half = gem_attend_choose_scale(gem_attend_find_largest(x, n));
  if (upper_half == 0) {
    memset(levels, 0, dim);
    return 0;
  }
  gem_attend_round_levels(x, n, 1.0f / gem_kv_scale(upper_half), levels);
  memset(levels + n, 0, dim - n);
  return upper_half;
}

static inline void
store_scale(uint8_t *scales, size_t place, uint16_t scale)
{
  memcpy(scales + place * sizeof scale, &scale, sizeof scale);
}

/* Levels [D] of a value go to every fourth byte: put into words of four positions, 16 at a time. */
static inline void
store_value(const int8_t *levels, size_t dim, size_t place, uint8_t *value)
{
  const uint32_t shift = 8 * (uint32_t)(place % 4);
  const uint32_t others = ~(UINT32_C(0xff) << shift);
  for (size_t i = 0; i < dim; i += 16) {
    uint32_t words[16];
    uint8_t *at = value + i * 4;
    memcpy(words, at, sizeof words);
#pragma omp simd
    for (size_t lane = 0; lane < 16; lane++) {
      words[lane] = (words[lane] & others) | (uint32_t)(uint8_t)levels[i + lane] << shift;
    }
    memcpy(at, words, sizeof words);
  }
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
  store_scale(head + gem_kv_key_scales_offset(dim), place, scale);

  scale = quantize(values, form->head_dim, levels, dim);
  store_value(levels, dim, place,
              head + gem_kv_values_offset(dim) + gem_kv_value_at(dim, place & ~(size_t)3, 0));
  store_scale(head + gem_kv_value_scales_offset(dim), place, scale);
}

/* Asks for the lines that a position's key and value of one head go to, all in different ones: with several
 * sequences none of them is near. */
static inline void
prefetch_head(const uint8_t *head, size_t dim, size_t place)
{
  for (size_t four = 0; four < dim / 4; four++) {
    __builtin_prefetch(head + gem_kv_key_at(place, four), 1);
  }
  for (size_t i = 0; i < dim; i += GEM_KV_TILE) {
    __builtin_prefetch(head + gem_kv_values_offset(dim) + gem_kv_value_at(dim, place, i), 1);
  }
}

void
GEM_PORTABLE(kv_store)(const GemKvForm *form,
                       const float *keys,
                       const float *values,
                       size_t n,
                       uint8_t *const *tiles,
                       const uint8_t *places)
{
  size_t row = form->kv_heads * form->head_dim;
  size_t head_bytes = gem_kv_head_bytes(form);
  for (size_t i = 0; i < n; i++) {
    for (size_t head = 0; head < form->kv_heads; head++) {
      size_t at = i * row + head * form->head_dim;
      uint8_t *to = tiles[i] + head * head_bytes;
      if (head + 1 < form->kv_heads) {
        prefetch_head(to + head_bytes, gem_kv_dim(form), places[i]);
      }
      store_head(form, keys + at, values + at, to, places[i]);
    }
  }
}
