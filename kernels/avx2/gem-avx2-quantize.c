#include "kernels/avx2/gem-avx2.h"

static const float largest_level = 127.0f;

static float
largest_of(const float *x, size_t width)
{
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 most[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t i = 0; i < width; i += 32) {
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; part++) {
      /* The second operand is taken where one is no number. */
      most[part] = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + i + part * 8), magnitude), most[part]);
    }
  }
  __m256 eight = _mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3]));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* At most 127, since no value is above the largest; 0 of what is no number. */
static inline __m256i
round_eight(const float *x, __m256 inverse)
{
  __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
  return _mm256_cvtps_epi32(_mm256_and_ps(scaled, _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q)));
}

/* 32 columns, and their two sums. */
static inline void
quantize_block(const float *x, __m256 inverse, int8_t *levels, int32_t *sums)
{
  __m256i low = _mm256_packs_epi32(round_eight(x, inverse), round_eight(x + 8, inverse));
  __m256i high = _mm256_packs_epi32(round_eight(x + 16, inverse), round_eight(x + 24, inverse));
  /* Packing is done in each half of a register by itself: fours of columns are in the order 0 2 4 6 1 3 5 7.
   */
  __m256i mixed = _mm256_packs_epi16(low, high);
  __m256i ordered = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  gem_avx2_store(levels, ordered);
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), ordered);
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  __m256i eights = _mm256_hadd_epi32(fours, fours);
  __m256i sixteens = _mm256_hadd_epi32(eights, eights);
  sums[0] = _mm256_extract_epi32(sixteens, 0);
  sums[1] = _mm256_extract_epi32(sixteens, 4);
}

/* Levels and sums of a chunk, and its scale; width is a multiple of 32. */
static float
quantize_chunk(const float *x, size_t width, int8_t *levels, int32_t *sums)
{
  float largest = largest_of(x, width);
  if (!(largest > GEM_SMALLEST_INPUT)) {
    memset(levels, 0, width);
    memset(sums, 0, width / GEM_SUM_COLS * sizeof *sums);
    return 0.0f;
  }
  __m256 inverse = _mm256_set1_ps(largest_level / largest);
  for (size_t i = 0; i < width; i += 32) {
    quantize_block(x + i, inverse, levels + i, sums + i / GEM_SUM_COLS);
  }
  return largest / largest_level;
}

void
gem_avx2_quantize(const GemInputs *inputs, size_t first, size_t end)
{
  size_t cols = inputs->cols;
  size_t chunks = gem_packed_chunks(cols);
  for (size_t i = first; i < end; i++) {
    for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
      size_t at = i * cols + col;
      inputs->scales[i * chunks + col / GEM_CHUNK_COLS] =
          quantize_chunk(inputs->values + at, gem_packed_width(cols, col), inputs->levels + at,
                         inputs->sums + at / GEM_SUM_COLS);
    }
  }
}
