#include "kernels/reference/gem-blocks.h"
#include "kernels/reference/gem-reference.h"

#include <math.h>

/* The largest level, and what |x| must exceed: 127 / |x| is a number then. Smaller inputs are zeros. */
static const float largest_level = 127.0f;
static const float smallest_input = 0x1p-120f;

static float
quantize_chunk(const float *x, size_t width, int8_t *levels)
{
  float largest = 0.0f;
  for (size_t i = 0; i < width; i++) {
    largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  }
  if (!(largest > smallest_input)) {
    memset(levels, 0, width);
    return 0.0f;
  }
  float inverse = largest_level / largest;
  for (size_t i = 0; i < width; i++) {
    levels[i] = (int8_t)gem_block_level(x[i], inverse, -largest_level, largest_level);
  }
  return largest / largest_level;
}

void
gem_reference_quantize(const GemInputs *inputs, size_t first, size_t end)
{
  size_t chunks = gem_packed_chunks(inputs->cols);
  for (size_t i = first; i < end; i++) {
    int8_t *levels = inputs->levels + i * inputs->cols;
    for (size_t chunk = 0; chunk < chunks; chunk++) {
      size_t col = chunk * GEM_CHUNK_COLS;
      size_t width = inputs->cols - col < GEM_CHUNK_COLS ? inputs->cols - col : GEM_CHUNK_COLS;
      inputs->scales[i * chunks + chunk] =
          quantize_chunk(inputs->values + i * inputs->cols + col, width, levels + col);
    }
    for (size_t sum = 0; sum < inputs->cols / GEM_SUM_COLS; sum++) {
      int32_t total = 0;
      for (size_t col = sum * GEM_SUM_COLS; col < (sum + 1) * GEM_SUM_COLS; col++) {
        total += levels[col];
      }
      inputs->sums[i * (inputs->cols / GEM_SUM_COLS) + sum] = total;
    }
  }
}
