/* AVX-512 with the tile unit's products of bytes. */
#include "kernels/avx512/gem-avx512.h"
#include "kernels/gem-kernel-sets.h"

const GemKernels gem_avx512_amx_kernels = {
    .name = "avx512-amx",
    .linear = gem_avx512_linear_amx,
};
