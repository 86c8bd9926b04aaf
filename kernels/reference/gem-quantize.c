#include "kernels/reference/gem-blocks.h"
#include "kernels/reference/gem-reference.h"

#include <math.h>

static const float largest_level = 127.0f;

static float
quantize_chunk(const float *x, size_t width, int8_t *levels)
{
  float largest = 0.0f;
  for (size_t i = 0; i < width; i++) {
    largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  }
  if (!(largest > GEM_SMALLEST_INPUT)) {
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
      size_t width = gem_packed_width(inputs->cols, col);
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
