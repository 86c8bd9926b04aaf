/* What this instruction set has of its own. */
#include "kernels/gem-kernel-sets.h"
#include "kernels/neon/gem-neon.h"
#include "kernels/portable/gem-portable.h"

const GemKernels gem_neon_kernels = {
    .name = "neon",
    .pack = gem_neon_pack,
    .quantize = gem_neon_quantize,
    .linear = gem_neon_linear,
    .gather = gem_neon_gather,
    .attend = gem_neon_attend,
    .kv_store = GEM_PORTABLE(kv_store),
    GEM_PORTABLE_KERNELS,
};
