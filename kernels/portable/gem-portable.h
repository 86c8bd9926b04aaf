/*
 * Kernels in plain C that the compiler turns into the vectors of an instruction set. Each file is compiled
 * once a set, with the set's flags and its name as GEM_KERNEL_SET, which the functions have in theirs:
 * rms_norm of avx2 is gem_avx2_rms_norm.
 *
 * Loops stand so that a value's result does not depend on its place in a vector or behind the last one: all
 * that is fused says fmaf, and sums are taken in an order that their own length alone decides.
 */
#pragma once

#include "kernels/gem-kernels.h"

#define GEM_PORTABLE_JOIN(set, name)   gem_##set##_##name
#define GEM_PORTABLE_EXPAND(set, name) GEM_PORTABLE_JOIN(set, name)
#define GEM_PORTABLE(name)             GEM_PORTABLE_EXPAND(GEM_KERNEL_SET, name)

/* Of the whole list: a set may have more. */
#define GEM_PORTABLE_DECLARE(result, name, parameters) result GEM_PORTABLE(name) parameters;
GEM_KERNEL_LIST(GEM_PORTABLE_DECLARE)
#undef GEM_PORTABLE_DECLARE

/* For a set's table; `gather` and `kv_store`, which some sets can do better, and `attend`, which is each
 * set's own, are for the table to name. */
#define GEM_PORTABLE_KERNELS                                                                                 \
  .rms_norm = GEM_PORTABLE(rms_norm), .rope = GEM_PORTABLE(rope), .softmax = GEM_PORTABLE(softmax),          \
  .swiglu = GEM_PORTABLE(swiglu), .gelu = GEM_PORTABLE(gelu), .scar_assign = GEM_PORTABLE(scar_assign),      \
  .find_largest = GEM_PORTABLE(find_largest), .weigh = GEM_PORTABLE(weigh), .tally = GEM_PORTABLE(tally),    \
  .attend_half = GEM_PORTABLE(attend_half)
