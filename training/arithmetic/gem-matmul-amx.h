/* Products of bfloat16 on the tile unit (AMX) of the CPU, with sums in single precision. */
#pragma once

#include "training/arithmetic/gem-matmul-bf16.h"

/* Whether CPU, kernel and build offer it; asks the kernel for the right to use it, once for the process. */
bool
gem_matmul_amx_available(void);

/* Needs gem_matmul_amx_available(). */
void
gem_matmul_amx(const GemProduct *product);
