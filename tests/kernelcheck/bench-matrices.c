/* Benchmarks of what stores and multiplies matrices, at the shapes of a model 512 wide. */
#include "tests/kernelcheck/kernels.h"

#include <string.h>

static const GemType all_types[] = {GEM_TYPE_Q4_0, GEM_TYPE_Q6_K, GEM_TYPE_Q8_0, GEM_TYPE_F16, GEM_TYPE_F32};
static const size_t shapes[][2] = {{512, 512}, {1536, 512}, {512, 1536}, {12800, 512}};
static const size_t counts[] = {1, 2, 4, 8, 16, 128};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- pack ---- */

typedef struct {
  const GemKernels *kernels;
  GemType type;
  size_t rows, cols;
  const uint8_t *stored;
  uint8_t *panels;
} PackWork;

static void
call_pack(void *data)
{
  PackWork *work = data;
  work->kernels->pack(work->type, work->rows, work->cols, work->stored, work->panels);
}

void
bench_kernel_pack(Bench *bench)
{
  for (size_t t = 0; t < COUNT(all_types); t++) {
    PackWork work = {.kernels = bench_kernels(bench), .type = all_types[t], .rows = 1536, .cols = 512};
    size_t stored_bytes = work.rows * gem_type_row_bytes(work.type, work.cols);
    size_t bytes = gem_packed_bytes(work.type, work.rows, work.cols);
    work.stored = bench_memory(bench, stored_bytes);
    work.panels = bench_memory(bench, bytes);
    double both = (double)(stored_bytes + bytes);
    bench_measure(bench, &(BenchCost){.bytes = both, .set_bytes = both}, call_pack, &work, "%s %zux%zu",
                  gem_type_name(work.type), work.rows, work.cols);
  }
}

/* ---- quantize ---- */

typedef struct {
  const GemKernels *kernels;
  GemInputs inputs;
} InputsWork;

static void
call_quantize(void *data)
{
  InputsWork *work = data;
  work->kernels->quantize(&work->inputs, 0, work->inputs.n);
}

static GemInputs
make_inputs(Bench *bench, size_t n, size_t cols)
{
  GemInputs inputs = {.n = n, .cols = cols, .values = bench_floats(bench, n * cols)};
  gem_inputs_place(&inputs, bench_memory(bench, gem_inputs_bytes(n, cols)));
  gem_kernels_reference()->quantize(&inputs, 0, n);
  return inputs;
}

void
bench_kernel_quantize(Bench *bench)
{
  for (size_t c = 0; c < COUNT(counts); c++) {
    InputsWork work = {.kernels = bench_kernels(bench), .inputs = make_inputs(bench, counts[c], 512)};
    double values = (double)(counts[c] * 512);
    bench_measure(bench, &(BenchCost){.bytes = 5 * values, .set_bytes = 5 * values}, call_quantize, &work,
                  "%zu rows of 512", counts[c]);
  }
}

/* ---- linear ---- */

/* Copies of one matrix, as many as fill a model: each call takes the next, as the layers of a step do. */
typedef struct {
  const GemKernels *kernels;
  GemPacked weights;
  const uint8_t *copies;
  size_t bytes; /* of a copy */
  size_t n_copies;
  size_t next;
  GemInputs inputs;
  float *y;
} LinearWork;

static void
call_linear(void *data)
{
  LinearWork *work = data;
  work->weights.data = work->copies + work->next * work->bytes;
  work->next = (work->next + 1) % work->n_copies;
  work->kernels->linear(&work->weights, 0, gem_packed_panels(work->weights.rows), &work->inputs, work->y);
}

/* Levels by chance, scales and floats of an ordinary size. */
static void
fill_stored(GemType type, size_t bytes, uint8_t *stored)
{
  uint32_t random = 7;
  for (size_t i = 0; i < bytes; i++) {
    random = random * 1664525u + 1013904223u;
    stored[i] = (uint8_t)(random >> 24);
  }
  static const uint8_t half[2] = {0x00, 0x24};
  size_t block = gem_type_block_bytes(type);
  for (size_t i = 0; i + block <= bytes; i += block) {
    if (type == GEM_TYPE_F32 || type == GEM_TYPE_F16) {
      stored[i + block - 1] = 0x3c;
    } else {
      memcpy(stored + i + (type == GEM_TYPE_Q6_K ? block - 2 : 0), half, sizeof half);
    }
  }
}

static void
init_weights(Bench *bench, LinearWork *work, GemType type, size_t rows, size_t cols, uint8_t *memory)
{
  static uint8_t stored[12800 * 512 * sizeof(float)];
  fill_stored(type, rows * gem_type_row_bytes(type, cols), stored);
  work->weights = (GemPacked){.type = type, .rows = rows, .cols = cols};
  work->bytes = gem_packed_bytes(type, rows, cols);
  work->n_copies = (BENCH_MODEL_BYTES + work->bytes - 1) / work->bytes;
  work->copies = memory;
  work->next = 0;
  gem_kernels_reference()->pack(type, rows, cols, stored, memory);
  for (size_t i = 1; i < work->n_copies; i++) {
    memcpy(memory + i * work->bytes, memory, work->bytes);
  }
}

static void
measure_linear(Bench *bench, LinearWork *work, size_t n, const GemInputs *inputs)
{
  size_t rows = work->weights.rows, cols = work->weights.cols;
  bool takes_levels = gem_packed_takes_levels(work->weights.type);
  work->inputs = *inputs;
  work->inputs.n = n;
  work->inputs.cols = cols;
  BenchCost cost = {
      .arithmetic = takes_levels ? BENCH_INT8 : BENCH_FLOAT,
      .operations = 2.0 * (double)(rows * cols * n),
      .bytes =
          (double)(work->bytes + n * cols * (takes_levels ? 1 : sizeof(float)) + n * rows * sizeof(float)),
      .set_bytes = (double)(work->bytes * work->n_copies),
  };
  bench_measure(bench, &cost, call_linear, work, "%s %zux%zu n=%zu", gem_type_name(work->weights.type), rows,
                cols, n);
}

void
bench_kernel_linear(Bench *bench)
{
  enum { MOST_ROWS = 12800, MOST_COLS = 1536, MOST_COUNT = 128 };
  /* The largest matrix alone is more than a model here: of floats. */
  uint8_t *memory = bench_memory(bench, 2 * BENCH_MODEL_BYTES);
  LinearWork work = {.kernels = bench_kernels(bench)};
  work.y = bench_floats(bench, (size_t)MOST_ROWS * MOST_COUNT);
  GemInputs inputs = make_inputs(bench, MOST_COUNT, MOST_COLS);
  for (size_t t = 0; t < COUNT(all_types); t++) {
    for (size_t s = 0; s < COUNT(shapes); s++) {
      init_weights(bench, &work, all_types[t], shapes[s][0], shapes[s][1], memory);
      for (size_t c = 0; c < COUNT(counts); c++) {
        measure_linear(bench, &work, counts[c], &inputs);
      }
    }
  }
}
