/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"

const GemKernels gem_avx2_kernels = {
    .name = "avx2",
};
