/*
 * SwiGLU feed-forward: gate and up of the same inputs, their activation, down, and the sum of that and what
 * was there. D = width, F = hidden.
 */
#include "plugins/backends/cpu/gem-cpu-cut.h"

/* n inputs of it. */
typedef struct {
  const GemKernels *kernels;
  const GemFeedForward *ffn;
  GemInputs inputs; /* [n][D] */
  GemInputs hidden; /* [n][F], whose values are those of `gate`; neither has levels at first */
  float *gate;      /* [n][F] */
  float *up;        /* [n][F] */
  float *down;      /* [n][D] in the place of `up`, which the hidden layer is made of by then */
  float *y;         /* [n][D] */
} FeedForward;

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
  if (gem_packed_takes_levels(gate->type) || gem_packed_takes_levels(run->ffn->up->packed.type)) {
    gem_inputs_place(inputs,
                     gem_cpu_scratch_reserve(&self->inputs, gem_inputs_bytes(inputs->n, inputs->cols)));
    gem_cpu_round_inputs(self, inputs);
  }
  gem_cpu_pool_run(self->pool, hidden_part, run,
                   gem_cpu_count_parts(self, 2 * gate->rows * gate->cols * inputs->n));
  gem_cpu_linear_add(self, run->ffn->down, run->gate, inputs->n, run->down, run->y);
}

/* ---- cut by inputs ---- */

static void
inputs_part(void *context, size_t part, size_t parts)
{
  const FeedForward *self = context;
  const GemPacked *gate = &self->ffn->gate->packed;
  const GemPacked *down = &self->ffn->down->packed;
  size_t first = gem_cpu_first_input(self->inputs.n, part, parts);
  size_t end = gem_cpu_first_input(self->inputs.n, part + 1, parts);
  float *gates = self->gate + first * gate->rows;
  float *ups = self->up + first * (gate->rows > down->rows ? gate->rows : down->rows);
  float *downs = ups; /* `self->down` would be where others still read `up` */

  GemInputs inputs = gem_cpu_round_own(self->kernels, &self->inputs, first, end);
  self->kernels->linear(gate, 0, gem_packed_panels(gate->rows), &inputs, gates);
  self->kernels->linear(&self->ffn->up->packed, 0, gem_packed_panels(gate->rows), &inputs, ups);
  self->kernels->swiglu(gates, ups, inputs.n * gate->rows, gates);
  GemInputs hidden = gem_cpu_round_own(self->kernels, &self->hidden, first, end);
  self->kernels->linear(down, 0, gem_packed_panels(down->rows), &hidden, downs);
  gem_cpu_add(self->y + first * down->rows, downs, hidden.n * down->rows);
}

static void
run_inputs(GemBackendState *self, FeedForward *run)
{
  const GemFeedForward *ffn = run->ffn;
  GemInputs *inputs = &run->inputs;
  GemInputs *hidden = &run->hidden;
  size_t first =
      gem_packed_takes_levels(ffn->gate->packed.type) || gem_packed_takes_levels(ffn->up->packed.type)
          ? gem_inputs_bytes(inputs->n, inputs->cols)
          : 0;
  size_t second =
      gem_packed_takes_levels(ffn->down->packed.type) ? gem_inputs_bytes(hidden->n, hidden->cols) : 0;
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
    size_t count = n - first < most ? n - first : most;
    run.inputs = (GemInputs){.n = count, .cols = width, .values = x + first * width};
    run.hidden = (GemInputs){.n = count, .cols = hidden, .values = run.gate};
    run.y = y + first * width;
    (gem_cpu_cuts_inputs(self, count) ? run_inputs : run_panels)(self, &run);
  }
}
