/*
 * SwiGLU feed-forward: gate and up of the same inputs, their activation, down, and the sum of that and what
 * was there. D = width, F = hidden.
 */
#include "plugins/backends/cpu/gem-cpu-cut.h"

/* n inputs of it. */
typedef struct {
  const GemKernels *kernels;
  const GemFeedForward *ffn;
  GemInputs inputs; /* [n][D], without levels at first */
  float *scratch;   /* [n][scratch_values()] */
  float *y;         /* [n][D] */
  /* Cut by panels. */
  float *gate; /* [n][F] */
  float *up;   /* [n][F] */
  /* Cut by inputs. */
  GemInputs hidden; /* [n][F] */
  size_t step;      /* values of the hidden layer that there are at a time: all, or a chunk of levels */
} FeedForward;

static bool
takes_levels(const GemMatrix *matrix)
{
  return gem_packed_takes_levels(matrix->packed.type);
}

static size_t
larger(size_t a, size_t b)
{
  return a > b ? a : b;
}

/* What an input needs: `step` values of gate, and as many of up, in whose place the result stands. */
static size_t
scratch_values(const FeedForward *self)
{
  return self->step + larger(self->step, self->ffn->down->packed.rows);
}

/* ---- cut by panels ---- */

static void
hidden_part(void *context, size_t part, size_t parts)
{
  const FeedForward *self = context;
  const GemPacked *gate = &self->ffn->gate->packed;
  GemCpuPanels panels = gem_cpu_panels_of_part(gate, part, parts);
  self->kernels->linear(gate, panels.first, panels.end, &self->inputs, self->gate);
  self->kernels->linear(&self->ffn->up->packed, panels.first, panels.end, &self->inputs, self->up);
  for (size_t i = 0; i < self->inputs.n; i++) {
    float *values = self->gate + i * gate->rows + panels.first_row;
    self->kernels->swiglu(values, self->up + i * gate->rows + panels.first_row, panels.rows, values);
  }
}

static void
run_panels(GemBackendState *self, FeedForward *run)
{
  const GemPacked *gate = &run->ffn->gate->packed;
  GemInputs *inputs = &run->inputs;
  run->gate = run->scratch;
  run->up = run->scratch + inputs->n * run->step;
  if (takes_levels(run->ffn->gate) || takes_levels(run->ffn->up)) {
    gem_inputs_place(inputs,
                     gem_cpu_scratch_reserve(&self->inputs, gem_inputs_bytes(inputs->n, inputs->cols)));
    gem_cpu_round_inputs(self, inputs);
  }
  gem_cpu_pool_run(self->pool, hidden_part, run,
                   gem_cpu_count_parts(self, 2 * gate->rows * gate->cols * inputs->n));
  /* Of `up` the hidden layer has been made by then. */
  gem_cpu_linear_add(self, run->ffn->down, run->gate, inputs->n, run->up, run->y);
}

/* ---- cut by inputs ---- */

/* Rows first .. first + rows - 1 of a matrix, of which `first` is the first of a panel. */
static GemPacked
rows_of(const GemPacked *matrix, size_t first, size_t rows)
{
  size_t before = first / GEM_PANEL_ROWS * gem_packed_panel_bytes(matrix->type, matrix->cols);
  return (GemPacked){.type = matrix->type, .rows = rows, .cols = matrix->cols, .data = matrix->data + before};
}

static void
multiply(const FeedForward *self, const GemPacked *matrix, const GemInputs *inputs, float *y)
{
  self->kernels->linear(matrix, 0, gem_packed_panels(matrix->rows), inputs, y);
}

/* Chunk `chunk` of the hidden layer's levels, of inputs first .. first + n - 1, from its values [n][cols]. */
static void
round_chunk(const FeedForward *self, size_t chunk, const float *values, size_t cols, size_t first, size_t n)
{
  const GemInputs *hidden = &self->hidden;
  size_t column = chunk * GEM_CHUNK_COLS;
  for (size_t i = 0; i < n; i++) {
    size_t row = first + i;
    GemInputs piece = {
        .n = 1,
        .cols = cols,
        .values = values + i * cols,
        .levels = hidden->levels + row * hidden->cols + column,
        .scales = hidden->scales + row * gem_packed_chunks(hidden->cols) + chunk,
        .sums = hidden->sums + (row * hidden->cols + column) / GEM_SUM_COLS,
    };
    self->kernels->quantize(&piece, 0, 1);
  }
}

/* A chunk of the hidden layer is rounded as soon as it is there: its floats need not leave the cache, nor all
 * be there at once. */
static void
inputs_part(void *context, size_t part, size_t parts)
{
  const FeedForward *self = context;
  const GemPacked *gate = &self->ffn->gate->packed;
  const GemPacked *down = &self->ffn->down->packed;
  size_t first = gem_cpu_first_input(self->inputs.n, part, parts);
  size_t end = gem_cpu_first_input(self->inputs.n, part + 1, parts);
  size_t n = end - first;
  float *gates = self->scratch + first * scratch_values(self);
  float *ups = gates + n * self->step;
  float *downs = ups;

  GemInputs inputs = gem_cpu_round_own(self->kernels, &self->inputs, first, end);
  GemInputs hidden = gem_cpu_inputs_of(&self->hidden, first, end);
  for (size_t row = 0; row < gate->rows; row += self->step) {
    size_t cols = gate->rows - row < self->step ? gate->rows - row : self->step;
    GemPacked gate_rows = rows_of(gate, row, cols);
    GemPacked up_rows = rows_of(&self->ffn->up->packed, row, cols);
    multiply(self, &gate_rows, &inputs, gates);
    multiply(self, &up_rows, &inputs, ups);
    self->kernels->swiglu(gates, ups, n * cols, gates);
    if (hidden.levels != NULL) {
      round_chunk(self, row / GEM_CHUNK_COLS, gates, cols, first, n);
    }
  }
  hidden.values = gates; /* all of them, where a matrix of floats is to read them */
  multiply(self, down, &hidden, downs);
  gem_cpu_add(self->y + first * down->rows, downs, n * down->rows);
}

static void
run_inputs(GemBackendState *self, FeedForward *run)
{
  GemInputs *inputs = &run->inputs;
  GemInputs *hidden = &run->hidden;
  bool first_takes = takes_levels(run->ffn->gate) || takes_levels(run->ffn->up);
  size_t first = first_takes ? gem_inputs_bytes(inputs->n, inputs->cols) : 0;
  size_t second = takes_levels(run->ffn->down) ? gem_inputs_bytes(hidden->n, hidden->cols) : 0;
  uint8_t *memory = gem_cpu_scratch_reserve(&self->inputs, first + second);
  if (first > 0) {
    gem_inputs_place(inputs, memory);
  }
  if (second > 0) {
    gem_inputs_place(hidden, memory + first);
  }
  gem_cpu_pool_run(self->pool, inputs_part, run, gem_cpu_pool_threads(self->pool));
}

/* ---- both ---- */

static void
run_pass(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y)
{
  size_t width = ffn->down->packed.rows;
  size_t hidden = ffn->down->packed.cols;
  bool by_inputs = gem_cpu_cuts_inputs(self, n);
  FeedForward run = {
      .kernels = self->kernels,
      .ffn = ffn,
      .inputs = {.n = n, .cols = width, .values = x},
      .hidden = {.n = n, .cols = hidden},
      .step = by_inputs && takes_levels(ffn->down) && hidden > GEM_CHUNK_COLS ? GEM_CHUNK_COLS : hidden,
      .y = y,
  };
  run.scratch = gem_cpu_scratch_reserve(&self->feed_forward, n * scratch_values(&run) * sizeof(float));
  (by_inputs ? run_inputs : run_panels)(self, &run);
}

void
gem_cpu_feed_forward(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y)
{
  size_t width = ffn->down->packed.rows;
  size_t most = gem_cpu_pass_rows(n);
  for (size_t first = 0; first < n; first += most) {
    run_pass(self, ffn, x + first * width, n - first < most ? n - first : most, y + first * width);
  }
}
