#include "kernels/neon/gem-neon.h"

static const float largest_level = 127.0f;

/* The largest |x| of `width` values, a multiple of 32. */
static float
find_largest(const float *x, size_t width)
{
  float32x4_t largest[4] = {vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f)};
  for (size_t i = 0; i < width; i += 16) {
    for (size_t part = 0; part < 4; part++) {
      largest[part] = vmaxnmq_f32(largest[part], vabsq_f32(vld1q_f32(x + i + part * 4)));
    }
  }
  return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(largest[0], largest[1]), vmaxnmq_f32(largest[2], largest[3])));
}

/* Nearest integers, ties to even, of 8 values times `inverse`: at most 127, since no value is above the
 * largest. The conversion makes 0 of what is no number. */
static inline int16x8_t
round_levels(const float *x, float inverse)
{
  int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse));
  int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), inverse));
  return vcombine_s16(vmovn_s32(low), vmovn_s32(high));
}

/* Returns the scale of a chunk. */
static float
quantize_chunk(const float *x, size_t width, int8_t *levels, int32_t *sums)
{
  float largest = find_largest(x, width);
  if (!(largest > GEM_SMALLEST_INPUT)) {
    memset(levels, 0, width);
    memset(sums, 0, width / GEM_SUM_COLS * sizeof *sums);
    return 0.0f;
  }
  float inverse = largest_level / largest;
  for (size_t i = 0; i < width; i += GEM_SUM_COLS) {
    int16x8_t low = round_levels(x + i, inverse);
    int16x8_t high = round_levels(x + i + 8, inverse);
    vst1q_s8(levels + i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    sums[i / GEM_SUM_COLS] = vaddvq_s16(vaddq_s16(low, high));
  }
  return largest / largest_level;
}

void
gem_neon_quantize(const GemInputs *inputs, size_t first, size_t end)
{
  size_t chunks = gem_packed_chunks(inputs->cols);
  for (size_t i = first; i < end; i++) {
    for (size_t col = 0; col < inputs->cols; col += GEM_CHUNK_COLS) {
      size_t at = i * inputs->cols + col;
      inputs->scales[i * chunks + col / GEM_CHUNK_COLS] =
          quantize_chunk(inputs->values + at, gem_packed_width(inputs->cols, col), inputs->levels + at,
                         inputs->sums + at / GEM_SUM_COLS);
    }
  }
}
