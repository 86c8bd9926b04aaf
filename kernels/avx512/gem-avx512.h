/*
 * What the files of this set share. Vectors hold one value for each of the 16 rows of a panel; integers are
 * weights of 8 bits without sign, four columns a lane, met with four levels that are the same for all rows.
 */
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kernels/gem-kernels.h"

void
gem_avx512_quantize(const GemInputs *inputs, size_t first, size_t end);
void
gem_avx512_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_avx512_linear_amx(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);
void
gem_avx512_linear_amd(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

void
gem_avx512_gather_compressed(
    const uint32_t *weights, size_t n, uint32_t least, uint32_t below, uint32_t *gathered, size_t *ret_count);

void
gem_avx512_kv_store_words(const GemKvForm *form,
                          const float *keys,
                          const float *values,
                          size_t n,
                          uint8_t *const *tiles,
                          const uint8_t *places);
void
gem_avx512_attend(const GemKvForm *form,
                  const GemKvQueries *queries,
                  const GemKvGroup *group,
                  const GemKvShare *share);
void
gem_avx512_attend_amd(const GemKvForm *form,
                      const GemKvQueries *queries,
                      const GemKvGroup *group,
                      const GemKvShare *share);

/* Inputs that are few: on Intel's processors, where more gain nothing by it, and on AMD's. */
enum { GEM_AVX512_FEW = 4, GEM_AVX512_FEW_AMD = 8 };

/* One panel with a few inputs, straight from the packed form: y[n][weights->rows], its lanes. They differ in
 * what they ask for ahead. */
void
gem_avx512_linear_few(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);
void
gem_avx512_linear_few_amd(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);

/* Two neighbouring panels of Q4_0 with one input: y[32], less the lanes that the second has not. */
void
gem_avx512_linear_pair_amd(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);

/* Two neighbouring panels with many inputs, each chunk decoded once; `panels` is 2 or, for the last one, 1.
 * They differ in where they ask for what comes next. */
void
gem_avx512_linear_many(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y);
void
gem_avx512_linear_many_amd(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y);

/* Matrices of halves and floats. */
void
gem_avx512_linear_floats(
    const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y);

/* Four levels, for all rows. */
static inline __m512i
gem_avx512_levels(const int8_t *levels)
{
  int32_t word;
  memcpy(&word, levels, sizeof word);
  return _mm512_set1_epi32(word);
}

/* 16 scales of 2 bytes as floats. */
static inline __m512
gem_avx512_scales(const uint8_t *halves)
{
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)halves));
}

/* 16 scales of 1 byte as integers. */
static inline __m512i
gem_avx512_whole_scales(const uint8_t *bytes)
{
  return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* The first 16 of `left` values, as a mask. */
static inline __mmask16
gem_avx512_first_lanes(size_t left)
{
  return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
}

/* Rows of a panel that the matrix has, as a mask. */
static inline __mmask16
gem_avx512_lanes(const GemPacked *weights, size_t panel)
{
  return gem_avx512_first_lanes(weights->rows - panel * GEM_PANEL_ROWS);
}

/* Nearest integers, ties to even; 0 of what is no number. */
static inline __m512i
gem_avx512_round(__m512 values)
{
  return _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(values, values, _CMP_ORD_Q), values);
}

/* The sums of a chunk's levels, one for each 16 columns; those behind its end are not read. */
static inline __m512i
gem_avx512_sums(const int32_t *sums, size_t width)
{
  __mmask16 present = (__mmask16)((1u << width / GEM_SUM_COLS) - 1);
  return _mm512_maskz_loadu_epi32(present, sums);
}

/* Each sum with its neighbour: those of 32 columns, twice. */
static inline __m512i
gem_avx512_pair_sums(__m512i sums)
{
  return _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_CDAB));
}
