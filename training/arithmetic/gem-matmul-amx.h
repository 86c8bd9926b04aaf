/* Products of bfloat16 on the tile unit (AMX) of the CPU, with sums in single precision. */
#pragma once

#include "training/arithmetic/gem-matmul-bf16.h"

/* Whether CPU, operating system and build offer it (gem_tile_unit()). */
bool
gem_matmul_amx_available(void);

/* Needs gem_matmul_amx_available(). */
void
gem_matmul_amx(const GemProduct *product);
