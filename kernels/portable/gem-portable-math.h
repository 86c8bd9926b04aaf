/*
 * Elementary functions without a branch, a table or a call, for loops that become vectors. Inside the
 * portable kernels only.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Adding it leaves the nearest integer in the lowest bits: of a float below 2^22, of a double below 2^51. */
#define GEM_PORTABLE_ROUNDER        0x1.8p23f
#define GEM_PORTABLE_DOUBLE_ROUNDER 0x1.8p52

static inline uint32_t
gem_portable_bits(float value)
{
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float
gem_portable_float(uint32_t bits)
{
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The bits of a float in an order that integers have, and back: a < b as floats if and only if as these, but
 * for zeros, of which the negative one comes first, and what is not a number. Of integers the compiler finds
 * the largest with vectors. */
static inline int32_t
gem_portable_order(int32_t bits)
{
  return bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
}

/* exp(x) for x <= 0: relative error below 2e-7; 0 below -87, also for -inf; not a number stays none.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is a polynomial of least relative error, and n goes into the
 * exponent. */
static inline float
gem_portable_exp(float x)
{
  float shifted = fmaf(x, 0x1.715476p0f, GEM_PORTABLE_ROUNDER);
  float n = shifted - GEM_PORTABLE_ROUNDER;
  float r = fmaf(n, -0x1.62e4p-1f, x);
  r = fmaf(n, -0x1.7f7d1cp-20f, r);
  float p = 0.0083125013f;
  p = fmaf(p, r, 0.0418903316f);
  p = fmaf(p, r, 0.1666711539f);
  p = fmaf(p, r, 0.4999923031f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  float power = gem_portable_float((gem_portable_bits(shifted) << 23) + 0x3f800000u);
  return x < -87.0f ? 0.0f : p * power;
}

/* 1 / (1 + exp(-x)). */
static inline float
gem_portable_sigmoid(float x)
{
  float e = gem_portable_exp(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
