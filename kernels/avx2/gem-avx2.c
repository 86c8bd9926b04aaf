/* What this instruction set has of its own. */
#include "kernels/avx2/gem-avx2.h"
#include "kernels/gem-kernel-sets.h"
#include "kernels/portable/gem-portable.h"

const GemKernels gem_avx2_kernels = {
    .name = "avx2",
    .pack = gem_avx2_pack,
    .quantize = gem_avx2_quantize,
    .linear = gem_avx2_linear,
    .gather = gem_avx2_gather,
    .attend = gem_avx2_attend,
    .kv_store = GEM_PORTABLE(kv_store),
    GEM_PORTABLE_KERNELS,
};

const GemKernels gem_avx2_amd_kernels = {
    .name = "avx2-amd",
    .linear = gem_avx2_linear_amd,
    .attend = gem_avx2_attend_amd,
};
