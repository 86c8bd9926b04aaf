/*
 * Products of matrices with the same inputs, which are rounded to int8 once, whoever reads them.
 */
#include "plugins/backends/cpu/gem-cpu-cut.h"

typedef struct {
  const GemKernels *kernels;
  const GemMatrix *const *matrices;
  size_t count;
  const GemInputs *inputs;
  float *const *y;
} Linear;

static void
panels_part(void *context, size_t part, size_t parts)
{
  const Linear *self = context;
  for (size_t i = 0; i < self->count; i++) {
    GemCpuPanels panels = gem_cpu_panels_of_part(&self->matrices[i]->packed, part, parts);
    self->kernels->linear(&self->matrices[i]->packed, panels.first, panels.end, self->inputs, self->y[i]);
  }
}

static void
inputs_part(void *context, size_t part, size_t parts)
{
  const Linear *self = context;
  size_t first = gem_cpu_first_input(self->inputs->n, part, parts);
  size_t end = gem_cpu_first_input(self->inputs->n, part + 1, parts);
  GemInputs inputs = gem_cpu_round_own(self->kernels, self->inputs, first, end);
  for (size_t i = 0; i < self->count; i++) {
    const GemPacked *packed = &self->matrices[i]->packed;
    self->kernels->linear(packed, 0, gem_packed_panels(packed->rows), &inputs,
                          self->y[i] + first * packed->rows);
  }
}

void
gem_cpu_linear(GemBackendState *self,
               const GemMatrix *const *matrices,
               size_t count,
               const float *x,
               size_t n,
               float *const *y)
{
  GemInputs inputs = {.n = n, .cols = matrices[0]->packed.cols, .values = x};
  Linear linear = {.kernels = self->kernels, .matrices = matrices, .count = count, .inputs = &inputs, .y = y};
  bool takes_levels = false;
  size_t products = 0;
  for (size_t i = 0; i < count; i++) {
    takes_levels = takes_levels || gem_packed_takes_levels(matrices[i]->packed.type);
    products += matrices[i]->packed.rows * inputs.cols * n;
  }
  if (takes_levels) {
    gem_inputs_place(&inputs, gem_cpu_scratch_reserve(&self->inputs, gem_inputs_bytes(n, inputs.cols)));
  }
  if (gem_cpu_cuts_inputs(self, n)) {
    gem_cpu_pool_run(self->pool, inputs_part, &linear, gem_cpu_pool_threads(self->pool));
    return;
  }
  if (takes_levels) {
    gem_cpu_round_inputs(self, &inputs);
  }
  gem_cpu_pool_run(self->pool, panels_part, &linear, gem_cpu_count_parts(self, products));
}
