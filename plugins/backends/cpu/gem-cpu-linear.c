/*
 * Products with matrices, shared out to the threads by panels of rows. Inputs are rounded to int8 once,
 * whoever reads them.
 */
#include "plugins/backends/cpu/gem-cpu.h"

/* Weights times inputs that a thread must have to do for its start to pay: about a microsecond of work. */
#define LEAST_PRODUCTS 50000

/* Parts a thread, where there is work for them: a thread that comes late leaves some of its own to the
 * others. */
#define PARTS_A_THREAD 4

/* Values of inputs that a thread must have to round. */
#define LEAST_ROUNDED 2048

static size_t
count_parts(const GemBackendState *self, size_t products)
{
  size_t threads = gem_cpu_pool_threads(self->pool);
  return threads == 1 ? 1 : gem_cpu_pool_cut(products / LEAST_PRODUCTS, threads * PARTS_A_THREAD);
}

static size_t
count_panels(const GemMatrix *matrix)
{
  return gem_packed_panels(matrix->packed.rows);
}

/* A pair of panels is cheaper than two single ones: parts begin with even panels. */
static size_t
first_panel(size_t panels, size_t part, size_t parts)
{
  return part == parts ? panels : panels * part / parts / 2 * 2;
}

/* ---- inputs ---- */

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

/* Levels, scales and sums into the backend's scratch. */
static void
round_inputs(GemBackendState *self, GemInputs *inputs)
{
  size_t bytes = gem_inputs_bytes(inputs->n, inputs->cols);
  gem_inputs_place(inputs, gem_cpu_scratch_reserve(&self->inputs, bytes));
  Rounding rounding = {.kernels = self->kernels, .inputs = inputs};
  size_t most = inputs->n * inputs->cols / LEAST_ROUNDED;
  most = most < inputs->n ? most : inputs->n;
  gem_cpu_pool_run(self->pool, round_part, &rounding,
                   gem_cpu_pool_cut(most, gem_cpu_pool_threads(self->pool)));
}

/* ---- matrices with the same input ---- */

typedef struct {
  const GemKernels *kernels;
  const GemMatrix *const *matrices;
  size_t count;
  const GemInputs *inputs;
  float *const *y;
} Linear;

static void
linear_part(void *context, size_t part, size_t parts)
{
  const Linear *self = context;
  for (size_t i = 0; i < self->count; i++) {
    size_t panels = count_panels(self->matrices[i]);
    self->kernels->linear(&self->matrices[i]->packed, first_panel(panels, part, parts),
                          first_panel(panels, part + 1, parts), self->inputs, self->y[i]);
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
    round_inputs(self, &inputs);
  }
  gem_cpu_pool_run(self->pool, linear_part, &linear, count_parts(self, products));
}

/* ---- feed-forward ---- */

/* n rows of it. D = width, F = hidden. */
typedef struct {
  const GemKernels *kernels;
  const GemFeedForward *ffn;
  const GemInputs *inputs; /* [n][D], then [n][F] */
  float *gate;             /* [n][F] */
  float *up;               /* [n][F] */
  float *down;             /* [n][D] in the place of `up`, which the hidden layer is made of by then */
  float *y;                /* [n][D] */
} FeedForward;

/* The rows of the hidden layer, or of y, that a part has. */
static void
rows_of_part(const GemMatrix *matrix, size_t part, size_t parts, size_t *ret_first, size_t *ret_count)
{
  size_t panels = count_panels(matrix);
  size_t end = first_panel(panels, part + 1, parts) * GEM_PANEL_ROWS;
  *ret_first = first_panel(panels, part, parts) * GEM_PANEL_ROWS;
  *ret_count = (end < matrix->packed.rows ? end : matrix->packed.rows) - *ret_first;
}

static void
hidden_part(void *context, size_t part, size_t parts)
{
  const FeedForward *self = context;
  const GemPacked *gate = &self->ffn->gate->packed;
  size_t panels = count_panels(self->ffn->gate);
  size_t first;
  size_t count;
  size_t from = first_panel(panels, part, parts);
  size_t end = first_panel(panels, part + 1, parts);
  self->kernels->linear(gate, from, end, self->inputs, self->gate);
  self->kernels->linear(&self->ffn->up->packed, from, end, self->inputs, self->up);
  rows_of_part(self->ffn->gate, part, parts, &first, &count);
  for (size_t i = 0; i < self->inputs->n; i++) {
    float *values = self->gate + i * gate->rows + first;
    self->kernels->swiglu(values, self->up + i * gate->rows + first, count, values);
  }
}

static void
down_part(void *context, size_t part, size_t parts)
{
  const FeedForward *self = context;
  const GemPacked *down = &self->ffn->down->packed;
  size_t panels = count_panels(self->ffn->down);
  size_t first;
  size_t count;
  self->kernels->linear(down, first_panel(panels, part, parts), first_panel(panels, part + 1, parts),
                        self->inputs, self->down);
  rows_of_part(self->ffn->down, part, parts, &first, &count);
  for (size_t i = 0; i < self->inputs->n; i++) {
    float *y = self->y + i * down->rows + first;
    const float *sum = self->down + i * down->rows + first;
    for (size_t j = 0; j < count; j++) {
      y[j] += sum[j];
    }
  }
}

static void
run_feed_forward(GemBackendState *self, FeedForward *run, const float *x, size_t n)
{
  const GemPacked *gate = &run->ffn->gate->packed;
  const GemPacked *up = &run->ffn->up->packed;
  const GemPacked *down = &run->ffn->down->packed;
  GemInputs inputs = {.n = n, .cols = gate->cols, .values = x};
  if (gem_packed_takes_levels(gate->type) || gem_packed_takes_levels(up->type)) {
    round_inputs(self, &inputs);
  }
  run->inputs = &inputs;
  gem_cpu_pool_run(self->pool, hidden_part, run, count_parts(self, 2 * gate->rows * gate->cols * n));

  GemInputs hidden = {.n = n, .cols = down->cols, .values = run->gate};
  if (gem_packed_takes_levels(down->type)) {
    round_inputs(self, &hidden);
  }
  run->inputs = &hidden;
  gem_cpu_pool_run(self->pool, down_part, run, count_parts(self, down->rows * down->cols * n));
}

void
gem_cpu_feed_forward(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y)
{
  size_t width = ffn->down->packed.rows;
  size_t hidden = ffn->down->packed.cols;
  size_t most = gem_cpu_pass_rows(n);
  size_t second = hidden > width ? hidden : width;
  float *scratch = gem_cpu_scratch_reserve(&self->feed_forward, most * (hidden + second) * sizeof(float));
  FeedForward run = {
      .kernels = self->kernels,
      .ffn = ffn,
      .gate = scratch,
      .up = scratch + most * hidden,
      .down = scratch + most * hidden,
  };
  for (size_t first = 0; first < n; first += most) {
    run.y = y + first * width;
    run_feed_forward(self, &run, x + first * width, n - first < most ? n - first : most);
  }
}
