/* Attention over tiles of 8 bits: the products of integers; gem-attend-levels.h does the rest. A vector holds
 * four dimensions of 8 keys, or four values of 8 dimensions. */
#include <immintrin.h>

#include "kernels/avx2/gem-avx2.h"
#include "kernels/gem-attend-levels.h"
#include "kernels/portable/gem-portable.h"

enum { LANES = 8, VECTOR = 32 /* bytes */, MOST_VECTORS = 4 /* of dimensions whose sums are in registers */ };

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline __m256i
load(const uint8_t *bytes)
{
  return _mm256_load_si256((const __m256i *)(const void *)bytes);
}

static inline __m256i
broadcast(const void *four)
{
  int32_t word;
  memcpy(&word, four, sizeof word);
  return _mm256_set1_epi32(word);
}

/* Sums of four products, of bytes without sign and bytes from -127 to 127. The former are at most 127: two
 * products together fit 16 bits. */
static inline __m256i
add_products(__m256i sums, __m256i plain, __m256i with_sign)
{
  __m256i pairs = _mm256_maddubs_epi16(plain, with_sign);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* ---- keys ---- */

/* q k = |q| (k with the sign of q) */
ALWAYS_INLINE void
multiply(GemAttendQuery *const *queries,
         size_t count,
         size_t dim,
         const uint8_t *keys,
         int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE])
{
  __m256i sums[GEM_ATTEND_QUERIES][2];
  for (size_t i = 0; i < count; i++) {
    sums[i][0] = _mm256_setzero_si256();
    sums[i][1] = _mm256_setzero_si256();
  }
  for (size_t d = 0; d < dim; d += 4) {
    __m256i first = load(keys + d * GEM_KV_TILE);
    __m256i second = load(keys + d * GEM_KV_TILE + VECTOR);
    for (size_t i = 0; i < count; i++) {
      __m256i q = broadcast(queries[i]->levels + d);
      __m256i size = _mm256_abs_epi8(q);
      sums[i][0] = add_products(sums[i][0], size, _mm256_sign_epi8(first, q));
      sums[i][1] = add_products(sums[i][1], size, _mm256_sign_epi8(second, q));
    }
  }
  for (size_t i = 0; i < count; i++) {
    _mm256_storeu_si256((__m256i *)(void *)products[i], sums[i][0]);
    _mm256_storeu_si256((__m256i *)(void *)(products[i] + LANES), sums[i][1]);
  }
}

static inline void
multiply_keys(GemAttendQuery *const *queries,
              size_t count,
              size_t dim,
              const uint8_t *keys,
              int32_t products[GEM_ATTEND_QUERIES][GEM_KV_TILE])
{
  switch (count) {
  case 1:
    multiply(queries, 1, dim, keys, products);
    break;
  case 2:
    multiply(queries, 2, dim, keys, products);
    break;
  case 3:
    multiply(queries, 3, dim, keys, products);
    break;
  default:
    multiply(queries, 4, dim, keys, products);
  }
}

/* ---- values ---- */

/* A = A f + what the chunk adds, for 8 dimensions. */
static inline void
add_totals(float *out, size_t left, const GemAttendWeights *weights, __m256i totals)
{
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < LANES ? (int32_t)left : LANES), numbers);
  __m256 faded = _mm256_mul_ps(_mm256_maskload_ps(out, lanes), _mm256_set1_ps(weights->fading));
  __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(totals), _mm256_set1_ps(weights->unit), faded);
  _mm256_maskstore_ps(out, lanes, sum);
}

/* `vectors` times 8 dimensions from `first` on. */
ALWAYS_INLINE void
add_dimensions(GemAttendQuery *const *queries,
               size_t count,
               const GemAttendChunk *chunk,
               const GemAttendWeights *weights,
               size_t first,
               size_t vectors)
{
  __m256i high[GEM_ATTEND_QUERIES][MOST_VECTORS];
  __m256i low[GEM_ATTEND_QUERIES][MOST_VECTORS];
  size_t offset = gem_kv_values_offset(chunk->dim) + first * 4;
  for (size_t i = 0; i < count; i++) {
    for (size_t v = 0; v < vectors; v++) {
      high[i][v] = _mm256_setzero_si256();
      low[i][v] = _mm256_setzero_si256();
    }
  }
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    const uint8_t *values = chunk->heads[t] + offset;
    for (size_t quad = 0; quad < GEM_KV_TILE / 4; quad++, values += chunk->dim * 4) {
      size_t member = t * GEM_KV_TILE + quad * 4;
      for (size_t i = 0; i < count; i++) {
        __m256i high_levels = broadcast(weights[i].high + member);
        __m256i low_levels = broadcast(weights[i].low + member);
        for (size_t v = 0; v < vectors; v++) {
          __m256i value = load(values + v * VECTOR);
          high[i][v] = add_products(high[i][v], high_levels, value);
          low[i][v] = add_products(low[i][v], low_levels, value);
        }
      }
    }
  }
  for (size_t v = 0; v < vectors && first + v * LANES < chunk->head_dim; v++) {
    size_t d = first + v * LANES;
    for (size_t i = 0; i < count; i++) {
      __m256i totals = _mm256_add_epi32(_mm256_slli_epi32(high[i][v], 7), low[i][v]);
      add_totals(queries[i]->out + d, chunk->head_dim - d, &weights[i], totals);
    }
  }
}

/* D is a multiple of 16, thus of two vectors. */
ALWAYS_INLINE void
add_all(GemAttendQuery *const *queries,
        size_t count,
        const GemAttendChunk *chunk,
        const GemAttendWeights *weights,
        size_t vectors)
{
  size_t first = 0;
  for (; first + vectors * LANES <= chunk->dim; first += vectors * LANES) {
    add_dimensions(queries, count, chunk, weights, first, vectors);
  }
  for (; first < chunk->dim; first += LANES) {
    add_dimensions(queries, count, chunk, weights, first, 1);
  }
}

static inline void
add_values(GemAttendQuery *const *queries,
           size_t count,
           const GemAttendChunk *chunk,
           const GemAttendWeights *weights)
{
  switch (count) {
  case 1:
    add_all(queries, 1, chunk, weights, 4);
    break;
  case 2:
    add_all(queries, 2, chunk, weights, 2);
    break;
  case 3:
    add_all(queries, 3, chunk, weights, 1);
    break;
  default:
    add_all(queries, 4, chunk, weights, 1);
  }
}

static void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  gem_attend_run_levels(queries, count, chunk, multiply_keys, add_values);
}

void
gem_avx2_attend(const GemKvForm *form,
                const GemKvQueries *queries,
                const GemKvGroup *group,
                const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, gem_attend_prepare_levels, run);
}

void
gem_avx2_attend_amd(const GemKvForm *form,
                    const GemKvQueries *queries,
                    const GemKvGroup *group,
                    const GemKvShare *share)
{
  gem_attend_walk_asking(form, queries, group, share, gem_attend_prepare_levels, run, true);
}
