/*
 * A matrix of the model as whole levels and scales, which is what every provider's own form of weights begins
 * with: value [row][col] = levels[row][col] * scales[row][col / block].
 */
#pragma once

#include <stdint.h>

#include "plugins/gem-plugin.h"

typedef struct {
  size_t rows, cols;
  uint32_t bits;  /* 4: levels are -8 .. 7; 8: -127 .. 127 or less; 0: there are none, see values */
  size_t block;   /* values of a scale; divides cols */
  int8_t *levels; /* [rows][cols] */
  float *scales;  /* [rows][cols / block] */
  float *values;  /* [rows][cols]; what the file's blocks mean, to the bit of a float */
} GemNpuLevels;

/* Reads a tensor. Q4_0 gives 4 bits in blocks of 32, Q8_0 8 bits in blocks of 32, Q6_K 8 bits in blocks of
 * 16, all without loss; F16 and F32 give values alone. */
bool
gem_npu_levels_read(GemNpuLevels *self, const GemTensorView *tensor, GemPluginError *error);
/* In place of what it has: 8 bits in blocks of `block` values, which divides cols. The largest of a block is
 * 127; what is between two levels is rounded to the nearer. */
bool
gem_npu_levels_widen(GemNpuLevels *self, size_t block, GemPluginError *error);
void
gem_npu_levels_clear(GemNpuLevels *self);
