/* Products of bfloat16 in vector registers (AVX-512 with bf16), with sums in single precision. */
#pragma once

#include "training/arithmetic/gem-matmul-bf16.h"

/* Whether it is taken to be faster than products in single precision: on AMD's processors. A Zen 4, the only
 * one that was measured, begins such an instruction in every cycle; an Emerald Rapids of Intel, in every
 * second one, is slower with it (docs/training.md). */
bool
gem_matmul_vector_is_worthwhile(void);

/* Needs gem_matmul_bf16_available(). */
void
gem_matmul_vector(const GemProduct *product);
