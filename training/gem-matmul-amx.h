/* Matrix products on the tile unit (AMX) of the CPU: bfloat16 operands, single-precision sums. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether CPU, kernel and build offer it; asks the kernel for the right to use it, once for the process. */
bool
gem_matmul_amx_available(void);

/* As gem_matmul. Needs gem_matmul_amx_available(). */
void
gem_matmul_amx(bool transpose_a,
               bool transpose_b,
               size_t m,
               size_t n,
               size_t k,
               const float *a,
               size_t lda,
               const float *b,
               size_t ldb,
               bool add,
               float *c,
               size_t ldc);
