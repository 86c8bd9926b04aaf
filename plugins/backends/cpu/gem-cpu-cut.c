#include "plugins/backends/cpu/gem-cpu-cut.h"

/* Weights times inputs that a thread must have to do for its start to pay: about a microsecond of work. */
#define LEAST_PRODUCTS 50000

/* Parts a thread, where there is work for them: a thread that comes late leaves some of its own to the
 * others. */
#define PARTS_A_THREAD 4

/* Values of inputs that a thread must have to round. */
#define LEAST_ROUNDED 2048

size_t
gem_cpu_count_parts(const GemBackendState *self, size_t products)
{
  size_t threads = gem_cpu_pool_threads(self->pool);
  return threads == 1 ? 1 : gem_cpu_pool_cut(products / LEAST_PRODUCTS, threads * PARTS_A_THREAD);
}

/* A pair of panels is cheaper than two single ones: parts begin with even panels. */
static size_t
first_panel(size_t panels, size_t part, size_t parts)
{
  return part == parts ? panels : panels * part / parts / 2 * 2;
}

GemCpuPanels
gem_cpu_panels_of_part(const GemPacked *matrix, size_t part, size_t parts)
{
  size_t panels = gem_packed_panels(matrix->rows);
  GemCpuPanels own = {
      .first = first_panel(panels, part, parts),
      .end = first_panel(panels, part + 1, parts),
  };
  size_t end_row = own.end * GEM_PANEL_ROWS;
  own.first_row = own.first * GEM_PANEL_ROWS;
  own.rows = (end_row < matrix->rows ? end_row : matrix->rows) - own.first_row;
  return own;
}

GemInputs
gem_cpu_inputs_of(const GemInputs *inputs, size_t first, size_t end)
{
  GemInputs own = *inputs;
  own.n = end - first;
  if (inputs->values != NULL) {
    own.values += first * inputs->cols;
  }
  if (inputs->levels != NULL) {
    own.levels += first * inputs->cols;
    own.scales += first * gem_packed_chunks(inputs->cols);
    own.sums += first * (inputs->cols / GEM_SUM_COLS);
  }
  return own;
}

GemInputs
gem_cpu_round_own(const GemKernels *kernels, const GemInputs *inputs, size_t first, size_t end)
{
  if (inputs->levels != NULL) {
    kernels->quantize(inputs, first, end);
  }
  return gem_cpu_inputs_of(inputs, first, end);
}

typedef struct {
  const GemKernels *kernels;
  const GemInputs *inputs;
} Rounding;

static void
round_part(void *context, size_t part, size_t parts)
{
  const Rounding *self = context;
  size_t n = self->inputs->n;
  self->kernels->quantize(self->inputs, n * part / parts, n * (part + 1) / parts);
}

void
gem_cpu_round_inputs(GemBackendState *self, const GemInputs *inputs)
{
  Rounding rounding = {.kernels = self->kernels, .inputs = inputs};
  size_t most = inputs->n * inputs->cols / LEAST_ROUNDED;
  most = most < inputs->n ? most : inputs->n;
  gem_cpu_pool_run(self->pool, round_part, &rounding,
                   gem_cpu_pool_cut(most, gem_cpu_pool_threads(self->pool)));
}
