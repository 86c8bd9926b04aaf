/* What this instruction set has of its own. */
#include "kernels/avx2/gem-avx2.h"
#include "kernels/gem-kernel-sets.h"

const GemKernels gem_avx2_vnni_kernels = {
    .name = "avx2-vnni",
    .linear = gem_avx2_vnni_linear,
};
