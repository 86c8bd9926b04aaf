/*
 * The tables of single instruction sets, each with only the functions that are its own; gem-kernels.c chooses
 * among them and completes them. A set is compiled in when the compiler's target has it. Inside the kernels
 * only.
 */
#pragma once

#include "kernels/gem-kernels.h"

extern const GemKernels gem_reference_kernels; /* complete */

#ifdef GEM_KERNELS_X86
extern const GemKernels gem_avx2_kernels;       /* AVX2, FMA, F16C */
extern const GemKernels gem_avx2_amd_kernels;   /* the same, reading as AMD's processors like it */
extern const GemKernels gem_avx2_vnni_kernels;  /* and AVX-VNNI */
extern const GemKernels gem_avx512_kernels;     /* AVX-512 F, BW, DQ, VL and VNNI */
extern const GemKernels gem_avx512_amd_kernels; /* the same, reading as AMD's processors like it */
#ifdef GEM_KERNELS_AMX
extern const GemKernels gem_avx512_amx_kernels; /* and AMX with products of bytes */
#endif
#endif

#ifdef GEM_KERNELS_ARM
extern const GemKernels gem_neon_kernels;      /* Advanced SIMD of ARMv8.0 */
extern const GemKernels gem_neon_dot_kernels;  /* and the dot product of 8-bit integers */
extern const GemKernels gem_neon_i8mm_kernels; /* and their matrix product */
#endif
