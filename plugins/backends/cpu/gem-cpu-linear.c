/*
 * Products of matrices with the same inputs, which are rounded to int8 once, whoever reads them.
 */
#include "plugins/backends/cpu/gem-cpu-cut.h"

typedef struct {
  const GemKernels *kernels;
  const GemMatrix *const *matrices;
  size_t count;
  const GemInputs *inputs;
  float *const *y; /* [count] */
  float *sums;     /* what y of the only matrix is added to; NULL: nothing */
} Linear;

static void
add_panels(const Linear *self, const GemCpuPanels *panels)
{
  for (size_t i = 0; i < self->inputs->n; i++) {
    size_t at = i * self->matrices[0]->packed.rows + panels->first_row;
    gem_cpu_add(self->sums + at, self->y[0] + at, panels->rows);
  }
}

static void
panels_part(void *context, size_t part, size_t parts)
{
  const Linear *self = context;
  for (size_t i = 0; i < self->count; i++) {
    GemCpuPanels panels = gem_cpu_panels_of_part(&self->matrices[i]->packed, part, parts);
    self->kernels->linear(&self->matrices[i]->packed, panels.first, panels.end, self->inputs, self->y[i]);
    if (self->sums != NULL) {
      add_panels(self, &panels);
    }
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
    if (self->sums != NULL) {
      gem_cpu_add(self->sums + first * packed->rows, self->y[i] + first * packed->rows,
                  inputs.n * packed->rows);
    }
  }
}

static void
run(GemBackendState *self, Linear *linear, const float *x, size_t n)
{
  GemInputs inputs = {.n = n, .cols = linear->matrices[0]->packed.cols, .values = x};
  bool takes_levels = false;
  size_t products = 0;
  for (size_t i = 0; i < linear->count; i++) {
    const GemPacked *packed = &linear->matrices[i]->packed;
    takes_levels = takes_levels || gem_packed_takes_levels(packed->type);
    products += packed->rows * inputs.cols * n;
  }
  if (takes_levels) {
    gem_inputs_place(&inputs, gem_cpu_scratch_reserve(&self->inputs, gem_inputs_bytes(n, inputs.cols)));
  }
  linear->kernels = self->kernels;
  linear->inputs = &inputs;
  if (gem_cpu_cuts_inputs(self, n)) {
    gem_cpu_pool_run(self->pool, inputs_part, linear, gem_cpu_pool_threads(self->pool));
    return;
  }
  if (takes_levels) {
    gem_cpu_round_inputs(self, &inputs);
  }
  gem_cpu_pool_run(self->pool, panels_part, linear, gem_cpu_count_parts(self, products));
}

void
gem_cpu_linear(GemBackendState *self,
               const GemMatrix *const *matrices,
               size_t count,
               const float *x,
               size_t n,
               float *const *y)
{
  run(self, &(Linear){.matrices = matrices, .count = count, .y = y}, x, n);
}

void
gem_cpu_linear_add(
    GemBackendState *self, const GemMatrix *matrix, const float *x, size_t n, float *product, float *y)
{
  run(self, &(Linear){.matrices = &matrix, .count = 1, .y = &product, .sums = y}, x, n);
}
