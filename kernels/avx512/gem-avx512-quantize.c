#include "kernels/avx512/gem-avx512.h"

static float
largest_of(const float *x, size_t width)
{
  __m512 largest = _mm512_setzero_ps();
  for (size_t i = 0; i < width; i += 16) {
    /* The second operand is taken where one is no number. */
    largest = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(gem_avx512_first_lanes(width - i), x + i)),
                            largest);
  }
  return _mm512_reduce_max_ps(largest);
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
  __m512 inverse = _mm512_set1_ps(127.0f / largest);
  for (size_t i = 0; i < width; i += 16) {
    __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + i), inverse);
    __m512i rounded = gem_avx512_round(scaled); /* at most 127, since no value is above the largest */
    _mm_storeu_si128((__m128i *)(void *)(levels + i), _mm512_cvtepi32_epi8(rounded));
    sums[i / GEM_SUM_COLS] = _mm512_reduce_add_epi32(rounded);
  }
  return largest / 127.0f;
}

void
gem_avx512_quantize(const GemInputs *inputs, size_t first, size_t end)
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
