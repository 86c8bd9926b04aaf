#include "tests/kernelcheck/kernels.h"

typedef void (*AnyFunction)(void);

#define FIND(result, name, parameters)                                                                       \
  static AnyFunction find_##name(const GemKernels *kernels)                                                  \
  {                                                                                                          \
    return (AnyFunction)kernels->name;                                                                       \
  }
GEM_KERNEL_LIST(FIND)
#undef FIND

#define ENTRY(result, name, parameters) {#name, check_kernel_##name, bench_kernel_##name, find_##name},
const Kernel kernelcheck_kernels[] = {GEM_KERNEL_LIST(ENTRY)};
#undef ENTRY

const size_t kernelcheck_count = sizeof kernelcheck_kernels / sizeof kernelcheck_kernels[0];

bool
kernelcheck_is_own(const Kernel *kernel, size_t set)
{
  for (size_t before = 0; before < set; before++) {
    if (kernel->find(gem_kernels_nth(set)) == kernel->find(gem_kernels_nth(before))) {
      return false;
    }
  }
  return true;
}
