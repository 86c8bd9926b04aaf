/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"

const GemKernels gem_avx512_kernels = {
    .name = "avx512",
};
