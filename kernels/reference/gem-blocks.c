#include "kernels/reference/gem-blocks.h"

void
gem_dequantize_row(GemType type, const void *row, float *values, size_t cols)
{
  switch (type) {
  case GEM_TYPE_F32:
    gem_f32_dequantize(row, values, cols);
    break;
  case GEM_TYPE_F16:
    gem_f16_dequantize(row, values, cols);
    break;
  case GEM_TYPE_Q4_0:
    gem_q4_0_dequantize(row, values, cols);
    break;
  case GEM_TYPE_Q8_0:
    gem_q8_0_dequantize(row, values, cols);
    break;
  case GEM_TYPE_Q6_K:
    gem_q6_k_dequantize(row, values, cols);
    break;
  }
}

void
gem_quantize_row(GemType type, const float *values, void *row, size_t cols)
{
  switch (type) {
  case GEM_TYPE_F32:
    gem_f32_quantize(values, row, cols);
    break;
  case GEM_TYPE_F16:
    gem_f16_quantize(values, row, cols);
    break;
  case GEM_TYPE_Q4_0:
    gem_q4_0_quantize(values, row, cols);
    break;
  case GEM_TYPE_Q8_0:
    gem_q8_0_quantize(values, row, cols);
    break;
  case GEM_TYPE_Q6_K:
    gem_q6_k_quantize(values, row, cols);
    break;
  }
}
