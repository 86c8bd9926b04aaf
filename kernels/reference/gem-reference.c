#include "kernels/reference/gem-reference.h"

#define REFERENCE_ENTRY(result, name, parameters) .name = gem_reference_##name,
const GemKernels gem_reference_kernels = {.name = "reference", GEM_KERNEL_LIST(REFERENCE_ENTRY)};
