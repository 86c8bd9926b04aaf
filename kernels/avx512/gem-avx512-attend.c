/*
 * Attention over tiles of 8 bits. A vector holds four dimensions of the 16 keys of a tile, or four values of
 * 16 dimensions; in floats, one number for each of the 16 members. gem-attend.h says what is computed.
 */
#include "kernels/avx512/gem-avx512.h"
#include "kernels/gem-attend.h"

enum {
  VECTOR = 64,      /* bytes */
  MOST_VECTORS = 4, /* of dimensions whose sums are in registers */
  KEY_SUMS = 4,     /* of one query's products, so that one need not wait for the other */
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* One query's weights of a chunk. */
typedef struct {
  _Alignas(VECTOR) float e[GEM_ATTEND_MEMBERS]; /* first e, then weights times scales of values */
  uint8_t high[GEM_ATTEND_MEMBERS];             /* the upper 7 bits of a weight's level */
  uint8_t low[GEM_ATTEND_MEMBERS];              /* the lower 7 bits */
  __mmask16 seen[GEM_KV_CHUNK_TILES];
  float fading; /* f */
  float unit;   /* of a level */
} Weights;

/* 16 scales from their upper halves. */
static inline __m512
load_scales(const uint8_t *scales)
{
  __m256i halves = _mm256_load_si256((const __m256i *)(const void *)scales);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* ---- queries ---- */

static void
prepare(GemAttendQuery *query, const GemKvForm *form)
{
  __m512 largest_of_lanes = _mm512_setzero_ps();
  for (size_t i = 0; i < form->head_dim; i += 16) {
    __m512 q = _mm512_maskz_loadu_ps(gem_avx512_first_lanes(form->head_dim - i), query->q + i);
    largest_of_lanes = _mm512_max_ps(_mm512_abs_ps(q), largest_of_lanes);
  }
  float largest = _mm512_reduce_max_ps(largest_of_lanes);
  __m512 inverse = _mm512_set1_ps(largest > GEM_ATTEND_SMALLEST ? 127.0f / largest : 0.0f);
  __m512i sums = _mm512_setzero_si512();
  for (size_t i = 0; i < form->head_dim; i += 16) {
    __m512 scaled = _mm512_mul_ps(
        _mm512_maskz_loadu_ps(gem_avx512_first_lanes(form->head_dim - i), query->q + i), inverse);
    __m512i levels = gem_avx512_round(scaled); /* at most 127, since no value is above the largest */
    _mm_store_si128((__m128i *)(void *)(query->levels + i), _mm512_cvtepi32_epi8(levels));
    sums = _mm512_add_epi32(sums, levels);
  }
  query->level_sum = _mm512_reduce_add_epi32(sums);
  query->factor = gem_attend_factor(largest, form->head_dim);
}

/* ---- keys ---- */

/* The products of the keys of a tile. Of two factors one has no sign: keys are moved up by 128, and the sums
 * back down. */
ALWAYS_INLINE void
multiply(GemAttendQuery *const *queries,
         size_t count,
         size_t dim,
         const uint8_t *keys,
         __m512i products[GEM_ATTEND_QUERIES])
{
  const __m512i up = _mm512_set1_epi8(-128);
  size_t sums_each = KEY_SUMS / count;
  __m512i sums[GEM_ATTEND_QUERIES][KEY_SUMS];
  for (size_t i = 0; i < count; i++) {
    sums[i][0] = _mm512_set1_epi32(-128 * queries[i]->level_sum);
    for (size_t s = 1; s < sums_each; s++) {
      sums[i][s] = _mm512_setzero_si512();
    }
  }
  for (size_t first = 0; first < dim; first += 16) {
    for (size_t four = 0; four < 4; four++) {
      size_t d = first + four * 4;
      __m512i key = _mm512_xor_si512(_mm512_load_si512(keys + d * GEM_KV_TILE), up);
      for (size_t i = 0; i < count; i++) {
        __m512i *sum = &sums[i][four % sums_each];
        *sum = _mm512_dpbusd_epi32(*sum, key, gem_avx512_levels(queries[i]->levels + d));
      }
    }
  }
  for (size_t i = 0; i < count; i++) {
    products[i] = sums[i][0];
    for (size_t s = 1; s < sums_each; s++) {
      products[i] = _mm512_add_epi32(products[i], sums[i][s]);
    }
  }
}

/* e of all members; of those that are not seen it is next to nothing. */
ALWAYS_INLINE void
score(GemAttendQuery *const *queries, size_t count, const GemAttendChunk *chunk, Weights *weights)
{
  size_t key_scales = gem_kv_key_scales_offset(chunk->dim);
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    __m512i products[GEM_ATTEND_QUERIES];
    const uint8_t *head = chunk->heads[t];
    gem_attend_ask_ahead(chunk, t);
    multiply(queries, count, chunk->dim, head, products);
    __m512 scales = load_scales(head + key_scales);
    for (size_t i = 0; i < count; i++) {
      __m512 e = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(products[i]), scales),
                               _mm512_set1_ps(queries[i]->factor));
      __mmask16 seen = (__mmask16)gem_attend_mask(queries[i], chunk->member + (uint32_t)(t * GEM_KV_TILE));
      weights[i].seen[t] = seen;
      _mm512_store_ps(weights[i].e + t * GEM_KV_TILE,
                      _mm512_mask_mov_ps(_mm512_set1_ps(GEM_ATTEND_NOTHING), seen, e));
    }
  }
}

/* ---- weights ---- */

static inline __m512
exp2_of(__m512 x)
{
  const __m512 shift = _mm512_set1_ps(GEM_EXP2_SHIFT);
  __m512 bounded = _mm512_max_ps(x, _mm512_set1_ps(GEM_EXP2_LEAST));
  __m512 shifted = _mm512_add_ps(bounded, shift);
  __m512 rest = _mm512_sub_ps(bounded, _mm512_sub_ps(shifted, shift));
  __m512 power = _mm512_fmadd_ps(_mm512_set1_ps(GEM_EXP2_5), rest, _mm512_set1_ps(GEM_EXP2_4));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(GEM_EXP2_3));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(GEM_EXP2_2));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(GEM_EXP2_1));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(1.0f));
  __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(power), exponent));
}

static inline float
find_largest(const Weights *weights, size_t n_tiles)
{
  __m512 largest = _mm512_set1_ps(GEM_ATTEND_NOTHING);
  for (size_t t = 0; t < n_tiles; t++) {
    /* The second operand is taken where one is no number. */
    largest = _mm512_max_ps(_mm512_load_ps(weights->e + t * GEM_KV_TILE), largest);
  }
  return _mm512_reduce_max_ps(largest);
}

/* e to weights, which are summed up, and those to weights times the scales of values; returns the largest. */
static inline float
scale_weights(GemAttendQuery *query, const GemAttendChunk *chunk, Weights *weights)
{
  float lanes[GEM_KV_TILE];
  size_t scales = gem_kv_value_scales_offset(chunk->dim);
  __m512 m = _mm512_set1_ps(query->largest);
  __m512 sum = _mm512_setzero_ps();
  __m512 largest = _mm512_setzero_ps();
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    float *e = weights->e + t * GEM_KV_TILE;
    __m512 weight = exp2_of(_mm512_sub_ps(_mm512_load_ps(e), m));
    __m512 scaled = _mm512_maskz_mul_ps(weights->seen[t], weight, load_scales(chunk->heads[t] + scales));
    sum = _mm512_mask_add_ps(sum, weights->seen[t], sum, weight);
    largest = _mm512_max_ps(scaled, largest);
    _mm512_store_ps(e, scaled);
  }
  _mm512_storeu_ps(lanes, sum);
  query->sum += gem_attend_sum_lanes(lanes);
  return _mm512_reduce_max_ps(largest);
}

static inline void
round_weights(Weights *weights, size_t n_tiles, float inverse)
{
  const __m512i seven_bits = _mm512_set1_epi32(127);
  for (size_t t = 0; t < n_tiles; t++) {
    size_t member = t * GEM_KV_TILE;
    __m512i levels =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(weights->e + member), _mm512_set1_ps(inverse)));
    _mm_store_si128((__m128i *)(void *)(weights->high + member),
                    _mm512_cvtepi32_epi8(_mm512_srli_epi32(levels, 7)));
    _mm_store_si128((__m128i *)(void *)(weights->low + member),
                    _mm512_cvtepi32_epi8(_mm512_and_si512(levels, seven_bits)));
  }
}

static inline void
weigh(GemAttendQuery *query, const GemAttendChunk *chunk, Weights *weights)
{
  weights->fading = gem_attend_raise(query, find_largest(weights, chunk->n_tiles));
  query->sum *= weights->fading;
  float largest = scale_weights(query, chunk, weights);
  weights->unit = largest / GEM_ATTEND_LEVEL;
  round_weights(weights, chunk->n_tiles, gem_attend_inverse(largest));
}

/* ---- values ---- */

static inline __m512i
load_four(const uint8_t *weights)
{
  int32_t word;
  memcpy(&word, weights, sizeof word);
  return _mm512_set1_epi32(word);
}

/* A = A f + what the chunk adds, for 16 dimensions from `first` on. */
static inline void
add_totals(float *out, size_t left, const Weights *weights, __m512i totals)
{
  __mmask16 lanes = gem_avx512_first_lanes(left);
  __m512 faded = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, out), _mm512_set1_ps(weights->fading));
  __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(totals), _mm512_set1_ps(weights->unit), faded);
  _mm512_mask_storeu_ps(out, lanes, sum);
}

/* `vectors` times 16 dimensions from `first` on. */
ALWAYS_INLINE void
add_dimensions(GemAttendQuery *const *queries,
               size_t count,
               const GemAttendChunk *chunk,
               const Weights *weights,
               size_t first,
               size_t vectors)
{
  __m512i high[GEM_ATTEND_QUERIES][MOST_VECTORS];
  __m512i low[GEM_ATTEND_QUERIES][MOST_VECTORS];
  size_t offset = gem_kv_values_offset(chunk->dim) + first * 4;
  for (size_t i = 0; i < count; i++) {
    for (size_t v = 0; v < vectors; v++) {
      high[i][v] = _mm512_setzero_si512();
      low[i][v] = _mm512_setzero_si512();
    }
  }
  for (size_t t = 0; t < chunk->n_tiles; t++) {
    const uint8_t *values = chunk->heads[t] + offset;
    for (size_t quad = 0; quad < GEM_KV_TILE / 4; quad++, values += chunk->dim * 4) {
      size_t member = t * GEM_KV_TILE + quad * 4;
      for (size_t v = 0; v < vectors; v++) {
        __m512i value = _mm512_load_si512(values + v * VECTOR);
        for (size_t i = 0; i < count; i++) {
          high[i][v] = _mm512_dpbusd_epi32(high[i][v], load_four(weights[i].high + member), value);
          low[i][v] = _mm512_dpbusd_epi32(low[i][v], load_four(weights[i].low + member), value);
        }
      }
    }
  }
  for (size_t v = 0; v < vectors && first + v * 16 < chunk->head_dim; v++) {
    size_t d = first + v * 16;
    for (size_t i = 0; i < count; i++) {
      __m512i totals = _mm512_add_epi32(_mm512_slli_epi32(high[i][v], 7), low[i][v]);
      add_totals(queries[i]->out + d, chunk->head_dim - d, &weights[i], totals);
    }
  }
}

ALWAYS_INLINE void
add_values(GemAttendQuery *const *queries,
           size_t count,
           const GemAttendChunk *chunk,
           const Weights *weights,
           size_t vectors)
{
  size_t first = 0;
  for (; first + vectors * 16 <= chunk->dim; first += vectors * 16) {
    add_dimensions(queries, count, chunk, weights, first, vectors);
  }
  for (; first < chunk->dim; first += 16) {
    add_dimensions(queries, count, chunk, weights, first, 1);
  }
}

/* ---- a chunk ---- */

/* `count` and `vectors` are constants: sums of so many queries and dimensions stay in registers. */
ALWAYS_INLINE void
run_count(GemAttendQuery *const *queries, size_t count, const GemAttendChunk *chunk, size_t vectors)
{
  Weights weights[GEM_ATTEND_QUERIES];
  score(queries, count, chunk, weights);
  for (size_t i = 0; i < count; i++) {
    weigh(queries[i], chunk, &weights[i]);
  }
  add_values(queries, count, chunk, weights, vectors);
}

static void
run_1(GemAttendQuery *const *queries, const GemAttendChunk *chunk)
{
  run_count(queries, 1, chunk, 4);
}

static void
run_2(GemAttendQuery *const *queries, const GemAttendChunk *chunk)
{
  run_count(queries, 2, chunk, 4);
}

static void
run_3(GemAttendQuery *const *queries, const GemAttendChunk *chunk)
{
  run_count(queries, 3, chunk, 2);
}

static void
run_4(GemAttendQuery *const *queries, const GemAttendChunk *chunk)
{
  run_count(queries, 4, chunk, 2);
}

static void
run(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk)
{
  typedef void RunCount(GemAttendQuery *const *queries, const GemAttendChunk *chunk);
  static RunCount *const run_counts[1 + GEM_ATTEND_QUERIES] = {NULL, run_1, run_2, run_3, run_4};
  GemAttendQuery *seeing[GEM_ATTEND_QUERIES];
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    if (gem_attend_sees(&queries[i], chunk)) {
      seeing[n++] = &queries[i];
    }
  }
  if (n > 0) {
    run_counts[n](seeing, chunk);
  }
}

void
gem_avx512_attend(const GemKvForm *form,
                  const GemKvQueries *queries,
                  const GemKvGroup *group,
                  const GemKvShare *share)
{
  gem_attend_walk(form, queries, group, share, prepare, run);
}

void
gem_avx512_attend_amd(const GemKvForm *form,
                      const GemKvQueries *queries,
                      const GemKvGroup *group,
                      const GemKvShare *share)
{
  gem_attend_walk_asking(form, queries, group, share, prepare, run, true);
}
