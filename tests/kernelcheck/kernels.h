/*
 * For each kernel of the list a check and a benchmark. Both are declared and taken from that list: where one
 * is missing, kernelcheck does not link, and the message names it.
 */
#pragma once

#include "tests/kernelcheck/bench.h"
#include "tests/kernelcheck/check.h"

#define KERNELCHECK_DECLARE(result, name, parameters)                                                        \
  void check_kernel_##name(Check *check);                                                                    \
  void bench_kernel_##name(Bench *bench);
GEM_KERNEL_LIST(KERNELCHECK_DECLARE)
#undef KERNELCHECK_DECLARE

typedef struct {
  const char *name;
  CheckFunction check;
  BenchFunction bench;
  /* Its function in a table, to see which sets have their own. */
  void (*(*find)(const GemKernels *kernels))(void);
} Kernel;

/* All kernels of the list, in its order. */
extern const Kernel kernelcheck_kernels[];
extern const size_t kernelcheck_count;

/* Whether that set has a function of its own, not that of the set before it. */
bool
kernelcheck_is_own(const Kernel *kernel, size_t set);
