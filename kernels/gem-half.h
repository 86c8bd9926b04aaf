/*
 * Half to single without a branch, for loops that the compiler turns into vectors. Inside the kernels only;
 * others call gem_half_to_float. Half: 1 sign, 5 exponent (bias 15), 10 fraction bits; single: 1, 8 (bias
 * 127), 23.
 */
#pragma once

#include <stdint.h>
#include <string.h>

static inline float
gem_half_decode(uint16_t half)
{
  uint32_t magnitude = half & 0x7fffu;
  /* Zero and subnormals are fraction * 2^-24, exact in single. */
  float small = (float)(int32_t)magnitude * 0x1p-24f;
  uint32_t small_bits;
  memcpy(&small_bits, &small, sizeof small_bits);

  /* Masks in the place of branches. Exponent 31, infinity and NaN, becomes 255. */
  uint32_t is_special = 0u - (uint32_t)((int32_t)magnitude >= 0x7c00);
  uint32_t normal_bits = (magnitude << 13) + (112u << 23) + (is_special & 112u << 23);
  uint32_t is_small = 0u - (uint32_t)((int32_t)magnitude < 0x400);
  uint32_t bits = (small_bits & is_small) | (normal_bits & ~is_small);
  bits |= (uint32_t)(half & 0x8000u) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
