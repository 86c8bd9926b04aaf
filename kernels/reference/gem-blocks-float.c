/* F32 and F16: one value a block. Files are little-endian, and so are the machines that this runs on. */
#include "kernels/reference/gem-blocks.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF rows are read in place: a little-endian machine is needed"
#endif

void
gem_f32_dequantize(const uint8_t *row, float *values, size_t cols)
{
  memcpy(values, row, cols * sizeof(float));
}

void
gem_f32_quantize(const float *values, uint8_t *row, size_t cols)
{
  memcpy(row, values, cols * sizeof(float));
}

void
gem_f16_dequantize(const uint8_t *row, float *values, size_t cols)
{
  for (size_t i = 0; i < cols; i++) {
    uint16_t half;
    memcpy(&half, row + 2 * i, sizeof half);
    values[i] = gem_half_decode(half);
  }
}

void
gem_f16_quantize(const float *values, uint8_t *row, size_t cols)
{
  for (size_t i = 0; i < cols; i++) {
    uint16_t half = gem_float_to_half(values[i]);
    memcpy(row + 2 * i, &half, sizeof half);
  }
}
