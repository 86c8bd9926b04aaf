/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"
#include "kernels/neon/gem-neon.h"

const GemKernels gem_neon_i8mm_kernels = {
    .name = "neon-i8mm",
    .linear = gem_neon_i8mm_linear,
};
