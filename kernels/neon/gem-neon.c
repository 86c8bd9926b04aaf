/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"

const GemKernels gem_neon_kernels = {
    .name = "neon",
};
