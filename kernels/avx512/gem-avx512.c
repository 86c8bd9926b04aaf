/* What this instruction set has of its own. */
#include "kernels/avx512/gem-avx512.h"
#include "kernels/gem-kernel-sets.h"
#include "kernels/portable/gem-portable.h"

const GemKernels gem_avx512_kernels = {
    .name = "avx512",
    .quantize = gem_avx512_quantize,
    .linear = gem_avx512_linear,
    .gather = gem_avx512_gather_compressed,
    .attend = gem_avx512_attend,
    .kv_store = gem_avx512_kv_store_words,
    GEM_PORTABLE_KERNELS,
};

const GemKernels gem_avx512_amd_kernels = {
    .name = "avx512-amd",
    .linear = gem_avx512_linear_amd,
    .attend = gem_avx512_attend_amd,
};
