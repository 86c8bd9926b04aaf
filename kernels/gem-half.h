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

  uint32_t bias =
      magnitude >= 0x7c00u ? 224u << 23 : 112u << 23; /* exponent 31 becomes 255: infinity and NaN */
  uint32_t bits = magnitude < 0x400u ? small_bits : (magnitude << 13) + bias;
  bits |= (uint32_t)(half & 0x8000u) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
