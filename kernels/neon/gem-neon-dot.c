/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"
#include "kernels/neon/gem-neon.h"

const GemKernels gem_neon_dot_kernels = {
    .name = "neon-dot",
    .linear = gem_neon_dot_linear,
    .attend = gem_neon_dot_attend,
};
