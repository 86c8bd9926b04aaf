/*
 * What the sets "avx2", "avx2-amd" and "avx2-vnni" share: declarations and small steps. Vectors hold one
 * value for each of 8 rows; a panel is two of them, its halves.
 */
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kernels/gem-kernels.h"

enum { GEM_AVX2_ROWS = 8, GEM_AVX2_HALVES = GEM_PANEL_ROWS / GEM_AVX2_ROWS };

/* For steps that must see constant arguments to become straight code. */
#define GEM_AVX2_INLINE __attribute__((always_inline)) static inline

void
gem_avx2_pack(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels);
void
gem_avx2_quantize(const GemInputs *inputs, size_t first, size_t end);
void
gem_avx2_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_avx2_linear_amd(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_avx2_vnni_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

/* The kernel "attend", asking for keys and values before their turn. */
void
gem_avx2_attend_amd(const GemKvForm *form,
                    const GemKvQueries *queries,
                    const GemKvGroup *group,
                    const GemKvShare *share);

/* Matrices of halves and floats. */
void
gem_avx2_linear_floats(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

static inline __m256i
gem_avx2_load(const void *bytes)
{
  return _mm256_loadu_si256(bytes);
}

static inline __m128i
gem_avx2_load_half(const void *bytes)
{
  return _mm_loadu_si128(bytes);
}

static inline void
gem_avx2_store(void *bytes, __m256i value)
{
  _mm256_storeu_si256(bytes, value);
}

static inline void
gem_avx2_store_half(void *bytes, __m128i value)
{
  _mm_storeu_si128(bytes, value);
}

/* Four levels, for all rows. */
static inline __m256i
gem_avx2_broadcast(const int8_t *levels)
{
  int32_t word;
  memcpy(&word, levels, sizeof word);
  return _mm256_set1_epi32(word);
}

/* 8 halves as floats. */
static inline __m256
gem_avx2_halves(const uint8_t *halves)
{
  return _mm256_cvtph_ps(gem_avx2_load_half(halves));
}

/* The bits of 1.5 * 2^23, a float whose last bit counts ones: sums of integers that start here are floats,
 * less 1.5 * 2^23, as long as they stay below 2^22. That is a subtraction in the place of a conversion, which
 * would wait for the multipliers. */
#define GEM_AVX2_FLOAT_BITS 0x4b400000

static inline __m256
gem_avx2_counted(__m256i sum)
{
  return _mm256_sub_ps(_mm256_castsi256_ps(sum), _mm256_set1_ps(0x1.8p23f));
}

/* Of 8 rows from `row` on those that the matrix has. */
static inline size_t
gem_avx2_lanes(size_t rows, size_t row)
{
  size_t left = rows > row ? rows - row : 0;
  return left < GEM_AVX2_ROWS ? left : GEM_AVX2_ROWS;
}

static inline __m256i
gem_avx2_mask(size_t lanes)
{
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first `lanes` (<= 8) values at y; the others are 0 and are not read. */
static inline __m256
gem_avx2_load_rows(const float *y, size_t lanes)
{
  return lanes == GEM_AVX2_ROWS ? _mm256_loadu_ps(y) : _mm256_maskload_ps(y, gem_avx2_mask(lanes));
}

/* The others are not written. */
static inline void
gem_avx2_store_rows(float *y, size_t lanes, __m256 values)
{
  if (lanes == GEM_AVX2_ROWS) {
    _mm256_storeu_ps(y, values);
  } else {
    _mm256_maskstore_ps(y, gem_avx2_mask(lanes), values);
  }
}
