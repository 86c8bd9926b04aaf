/* Keys and values into tiles of 8 bits: kernels/gem-kv.h. 16 values of a head at a time. */
#include "kernels/avx512/gem-avx512.h"
#include "kernels/gem-kv-store.h"

#define LANES      16
#define MOST_WORDS (GEM_KV_MOST_DIM / LANES)

/* The values of one head as levels, 16 a vector, zeros behind them. */
typedef struct {
  __m512i levels[MOST_WORDS];
  uint16_t scale; /* its upper half */
} Head;

static inline __m512
load(const float *x, size_t first, size_t n)
{
  return _mm512_maskz_loadu_ps(gem_avx512_first_lanes(n - first), x + first);
}

/* What is no number counts for nothing in the largest, and becomes the level 0. */
static inline void
quantize(const float *x, size_t n, Head *head)
{
  const __m512 lowest = _mm512_set1_ps(-127.0f), highest = _mm512_set1_ps(127.0f);
  __m512 largest = _mm512_setzero_ps();
  for (size_t first = 0; first < n; first += LANES) {
    largest = _mm512_max_ps(_mm512_abs_ps(load(x, first, n)), largest);
  }
  head->scale = gem_kv_choose_scale(_mm512_reduce_max_ps(largest));
  __m512 inverse = _mm512_set1_ps(head->scale > 0 ? 1.0f / gem_kv_scale(head->scale) : 0.0f);
  for (size_t first = 0; first < n; first += LANES) {
    __m512 scaled = _mm512_mul_ps(load(x, first, n), inverse);
    scaled = _mm512_min_ps(highest, _mm512_max_ps(lowest, scaled));
    head->levels[first / LANES] = head->scale > 0 ? gem_avx512_round(scaled) : _mm512_setzero_si512();
  }
}

/* Four levels at a time go to lines of their own. */
static inline void
store_key(const Head *key, size_t dim, size_t place, uint8_t *tile)
{
  for (size_t first = 0; first < dim; first += LANES) {
    uint8_t bytes[LANES];
    _mm_storeu_si128((__m128i *)(void *)bytes, _mm512_cvtepi32_epi8(key->levels[first / LANES]));
    for (size_t four = 0; four < LANES / 4; four++) {
      memcpy(tile + gem_kv_key_at(place, first / 4 + four), bytes + four * 4, 4);
    }
  }
}

/* Each level is a byte of a word that four positions share. */
static inline void
store_value(const Head *value, size_t dim, size_t place, uint8_t *tile)
{
  uint8_t *words = tile + gem_kv_values_offset(dim) + gem_kv_value_at(dim, place & ~(size_t)3, 0);
  __m128i shift = _mm_cvtsi32_si128((int)(place % 4 * 8));
  __m512i own = _mm512_sll_epi32(_mm512_set1_epi32(0xff), shift);
  for (size_t first = 0; first < dim; first += LANES, words += 64) {
    __m512i levels = _mm512_sll_epi32(value->levels[first / LANES], shift);
    /* own ? levels : words */
    _mm512_storeu_si512(words, _mm512_ternarylogic_epi32(own, levels, _mm512_loadu_si512(words), 0xca));
  }
}

static inline void
store_head(const GemKvForm *form, const float *keys, const float *values, uint8_t *tile, size_t place)
{
  Head head;
  size_t dim = gem_kv_dim(form);
  quantize(keys, form->head_dim, &head);
  store_key(&head, dim, place, tile);
  gem_kv_store_scale(tile + gem_kv_key_scales_offset(dim), place, head.scale);
  quantize(values, form->head_dim, &head);
  store_value(&head, dim, place, tile);
  gem_kv_store_scale(tile + gem_kv_value_scales_offset(dim), place, head.scale);
}

void
gem_avx512_kv_store_words(const GemKvForm *form,
                          const float *keys,
                          const float *values,
                          size_t n,
                          uint8_t *const *tiles,
                          const uint8_t *places)
{
  gem_kv_store_heads(form, keys, values, n, tiles, places, store_head);
}
