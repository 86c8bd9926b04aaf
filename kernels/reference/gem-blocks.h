/*
 * Encoders and decoders of one row, a pair for each block type: `cols` is a multiple of the type's block,
 * `row` needs no alignment. Inside the kernels only; others go through gem_quantize_row and
 * gem_dequantize_row.
 */
#pragma once

#include <math.h>

#include "kernels/gem-half.h"
#include "kernels/gem-types.h"

void
gem_f32_dequantize(const uint8_t *row, float *values, size_t cols);
void
gem_f32_quantize(const float *values, uint8_t *row, size_t cols);
void
gem_f16_dequantize(const uint8_t *row, float *values, size_t cols);
void
gem_f16_quantize(const float *values, uint8_t *row, size_t cols);
void
gem_q4_0_dequantize(const uint8_t *row, float *values, size_t cols);
void
gem_q4_0_quantize(const float *values, uint8_t *row, size_t cols);
void
gem_q8_0_dequantize(const uint8_t *row, float *values, size_t cols);
void
gem_q8_0_quantize(const float *values, uint8_t *row, size_t cols);
void
gem_q6_k_dequantize(const uint8_t *row, float *values, size_t cols);
void
gem_q6_k_quantize(const float *values, uint8_t *row, size_t cols);

/* Halves stand little-endian in a block, at any address. */
static inline float
gem_block_load_half(const uint8_t *bytes)
{
  return gem_half_decode((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* Stores a block's scale, kept finite: an infinite scale would make NaN of a zero. */
static inline void
gem_block_store_scale(uint8_t *bytes, float scale)
{
  float finite = scale > 65504.0f ? 65504.0f : scale < -65504.0f ? -65504.0f : scale;
  uint16_t half = gem_float_to_half(finite);
  bytes[0] = (uint8_t)(half & 0xff);
  bytes[1] = (uint8_t)(half >> 8);
}

/* Nearest integer, ties to even, for |x| < 2^22; unlike rintf it needs no call on any instruction set. */
static inline float
gem_block_round(float x)
{
  const float shifter = 0x1.8p23f;
  return (x + shifter) - shifter;
}

/* x / scale as the nearest of the integers lowest .. highest, 0 when that is no number; `inverse` is
 * 1 / scale. */
static inline float
gem_block_level(float x, float inverse, float lowest, float highest)
{
  float scaled = x * inverse;
  scaled = scaled < lowest ? lowest : scaled;
  scaled = scaled > highest ? highest : scaled;
  return isnan(scaled) ? 0.0f : gem_block_round(scaled);
}

/* The squared error of `n` values stored as integers lowest .. highest of `scale`; with scale 0 all is lost.
 */
static inline float
gem_block_error(const float *x, int n, float scale, float lowest, float highest)
{
  float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  float error = 0.0f;
#pragma omp simd reduction(+ : error)
  for (int i = 0; i < n; i++) {
    float difference = x[i] - scale * gem_block_level(x[i], inverse, lowest, highest);
    error += difference * difference;
  }
  return error;
}

/* The scale of least squared error for the integers that `scale` (not 0) gives; `scale` itself where all are
 * 0. */
static inline float
gem_block_fit_scale(const float *x, int n, float scale, float lowest, float highest)
{
  float inverse = 1.0f / scale;
  float product = 0.0f;
  float square = 0.0f;
#pragma omp simd reduction(+ : product, square)
  for (int i = 0; i < n; i++) {
    float level = gem_block_level(x[i], inverse, lowest, highest);
    product += x[i] * level;
    square += level * level;
  }
  return square > 0.0f ? product / square : scale;
}
