/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"
#include "kernels/portable/gem-portable.h"

const GemKernels gem_avx2_kernels = {
    .name = "avx2",
    .gather = gem_avx2_gather,
    GEM_PORTABLE_KERNELS,
};
