/*
 * The arithmetic of the forward pass: one table of functions for each instruction set, chosen once. The
 * functions and what they compute stand in gem-kernel-list.h; "reference" is the plain C that all others are
 * checked against.
 */
#pragma once

#include "kernels/gem-kernel-list.h"
#include "kernels/gem-kv.h"
#include "kernels/gem-packed.h"

#define GEM_KERNEL_FIELD(result, name, parameters) result(*name) parameters;
typedef struct {
  const char *name; /* "reference", "avx2", ... */
  GEM_KERNEL_LIST(GEM_KERNEL_FIELD)
} GemKernels;
#undef GEM_KERNEL_FIELD

/* The tables that this machine can run, the reference first, and a set's tuning for a vendor's processors
 * after the set; each is complete: what an instruction set has no function of its own for comes from a set
 * before it. CPU flags are read, and whether the operating system keeps the registers, before any vector code
 * runs. Static. */
size_t
gem_kernels_count(void);
const GemKernels *
gem_kernels_nth(size_t index);

/* The first of them, and the one for this machine. */
const GemKernels *
gem_kernels_reference(void);
const GemKernels *
gem_kernels_best(void);

/* The one to use: the best, or in a build with tests the one that the process's environment names in
 * GEM_CPU_KERNELS, which no caller of the service can reach. NULL: this machine has none of that name. */
const GemKernels *
gem_kernels_chosen(void);

/* The table of that name; NULL: there is none, or this machine cannot run it. */
const GemKernels *
gem_kernels_by_name(const char *name);
