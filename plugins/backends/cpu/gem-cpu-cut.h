/*
 * How products with matrices are cut into parts for the threads.
 *
 * Few inputs: by panels of rows, so that each weight is read by one thread. Where each thread has many of a
 * prompt's: by inputs, the same ones in each call, so that what a thread computes stays in the caches near
 * it, and rounding, products and activation are one call. All threads read all weights then, which costs less
 * than fetching values from each other's caches (docs/performance-xeon.md#two-threads-and-a-prompt).
 */
#pragma once

#include "plugins/backends/cpu/gem-cpu.h"

/* Inputs that a thread must have for a cut by inputs: fewer meet a weight too seldom for reading it. */
enum { GEM_CPU_LEAST_INPUTS = 32 };

/* Parts begin with multiples of it: what the tile unit multiplies at once. */
enum { GEM_CPU_INPUTS_TOGETHER = 16 };

static inline bool
gem_cpu_cuts_inputs(const GemBackendState *self, size_t n)
{
  return n / gem_cpu_pool_threads(self->pool) >= GEM_CPU_LEAST_INPUTS;
}

/* The first input of a part of n; of part `parts`: n. */
static inline size_t
gem_cpu_first_input(size_t n, size_t part, size_t parts)
{
  size_t nearest = n * part / parts + GEM_CPU_INPUTS_TOGETHER / 2;
  return part == parts ? n : nearest / GEM_CPU_INPUTS_TOGETHER * GEM_CPU_INPUTS_TOGETHER;
}

/* Parts, when they are panels, for so many products of a weight and an input. */
size_t
gem_cpu_count_parts(const GemBackendState *self, size_t products);

/* Panels first .. end - 1 of a matrix, and their rows. */
typedef struct {
  size_t first, end;
  size_t first_row, rows;
} GemCpuPanels;

GemCpuPanels
gem_cpu_panels_of_part(const GemPacked *matrix, size_t part, size_t parts);

/* Inputs first .. end - 1 by themselves, their levels in the places that they have in `inputs`, if these have
 * any. */
GemInputs
gem_cpu_inputs_of(const GemInputs *inputs, size_t first, size_t end);

/* The same, and rounds them. */
GemInputs
gem_cpu_round_own(const GemKernels *kernels, const GemInputs *inputs, size_t first, size_t end);

/* y[count] += x */
static inline void
gem_cpu_add(float *y, const float *x, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    y[i] += x[i];
  }
}

/* All of them, shared out to the threads. They have places for their levels. */
void
gem_cpu_round_inputs(GemBackendState *self, const GemInputs *inputs);
