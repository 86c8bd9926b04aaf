/* Benchmarks of what works on rows: one row of a step, and the rows of a prompt; 512 wide, 8 heads of 64. */
#include "tests/kernelcheck/kernels.h"

#include <string.h>

enum { WIDTH = 512, HIDDEN = 1536, HEADS = 8, HEAD_DIM = 64, CLUSTERS = 16 };

static const size_t counts[] = {1, 128};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Rows in, rows out. What works in place gets its input copied again for each call. */
typedef struct {
  const GemKernels *kernels;
  size_t n;
  const float *x;
  const float *other; /* weights, the second factor, centroids */
  const uint32_t *positions;
  float *y;
  uint8_t *clusters;
} RowsWork;

/* ---- rms_norm ---- */

static void
call_rms_norm(void *data)
{
  RowsWork *work = data;
  work->kernels->rms_norm(work->x, work->other, work->n, WIDTH, 1e-5f, work->y);
}

void
bench_kernel_rms_norm(Bench *bench)
{
  RowsWork work = {.kernels = bench_kernels(bench),
                   .x = bench_floats(bench, 128 * WIDTH),
                   .other = bench_floats(bench, WIDTH),
                   .y = bench_floats(bench, 128 * WIDTH)};
  for (size_t c = 0; c < COUNT(counts); c++) {
    double values = (double)(counts[c] * WIDTH);
    work.n = counts[c];
    bench_measure(bench, &(BenchCost){BENCH_FLOAT, 4 * values, 8 * values, 8 * values}, call_rms_norm, &work,
                  "%zu rows of %d", work.n, WIDTH);
  }
}

/* ---- rope ---- */

static void
call_rope(void *data)
{
  RowsWork *work = data;
  work->kernels->rope(work->y, work->positions, work->n, HEADS, HEAD_DIM, HEAD_DIM, 10000.0f);
}

void
bench_kernel_rope(Bench *bench)
{
  uint32_t *positions = bench_memory(bench, 128 * sizeof *positions);
  RowsWork work = {
      .kernels = bench_kernels(bench), .positions = positions, .y = bench_floats(bench, 128 * WIDTH)};
  for (uint32_t i = 0; i < 128; i++) {
    positions[i] = 1000 + i;
  }
  for (size_t c = 0; c < COUNT(counts); c++) {
    double values = (double)(counts[c] * WIDTH);
    work.n = counts[c];
    bench_measure(bench, &(BenchCost){BENCH_FLOAT, 3 * values, 8 * values, 4 * values}, call_rope, &work,
                  "%zu rows of %d heads of %d", work.n, HEADS, HEAD_DIM);
  }
}

/* ---- softmax ---- */

static void
copy_values(void *data)
{
  RowsWork *work = data;
  memcpy(work->y, work->x, work->n * sizeof *work->y);
}

static void
call_softmax(void *data)
{
  RowsWork *work = data;
  copy_values(work);
  work->kernels->softmax(work->y, work->n);
}

void
bench_kernel_softmax(Bench *bench)
{
  static const size_t lengths[] = {128, 2048, 12800};
  RowsWork work = {
      .kernels = bench_kernels(bench), .x = bench_floats(bench, 12800), .y = bench_floats(bench, 12800)};
  for (size_t l = 0; l < COUNT(lengths); l++) {
    work.n = lengths[l];
    double bytes = 8.0 * (double)work.n;
    bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes, .besides = copy_values},
                  call_softmax, &work, "%zu values", work.n);
  }
}

/* ---- swiglu, gelu ---- */

static void
call_swiglu(void *data)
{
  RowsWork *work = data;
  work->kernels->swiglu(work->x, work->other, work->n * HIDDEN, work->y);
}

void
bench_kernel_swiglu(Bench *bench)
{
  RowsWork work = {.kernels = bench_kernels(bench),
                   .x = bench_floats(bench, 128 * HIDDEN),
                   .other = bench_floats(bench, 128 * HIDDEN),
                   .y = bench_floats(bench, 128 * HIDDEN)};
  for (size_t c = 0; c < COUNT(counts); c++) {
    double bytes = 12.0 * (double)(counts[c] * HIDDEN);
    work.n = counts[c];
    bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_swiglu, &work,
                  "%zu rows of %d", work.n, HIDDEN);
  }
}

static void
copy_rows(void *data)
{
  RowsWork *work = data;
  memcpy(work->y, work->x, work->n * HIDDEN * sizeof *work->y);
}

static void
call_gelu(void *data)
{
  RowsWork *work = data;
  copy_rows(work);
  work->kernels->gelu(work->y, work->n * HIDDEN);
}

void
bench_kernel_gelu(Bench *bench)
{
  RowsWork work = {.kernels = bench_kernels(bench),
                   .x = bench_floats(bench, 128 * HIDDEN),
                   .y = bench_floats(bench, 128 * HIDDEN)};
  for (size_t c = 0; c < COUNT(counts); c++) {
    double bytes = 8.0 * (double)(counts[c] * HIDDEN);
    work.n = counts[c];
    bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes, .besides = copy_rows}, call_gelu,
                  &work, "%zu rows of %d", work.n, HIDDEN);
  }
}

/* ---- scar_assign ---- */

static void
call_scar_assign(void *data)
{
  RowsWork *work = data;
  work->kernels->scar_assign(work->x, work->n, WIDTH, work->other, CLUSTERS, work->clusters);
}

void
bench_kernel_scar_assign(Bench *bench)
{
  RowsWork work = {.kernels = bench_kernels(bench),
                   .x = bench_floats(bench, 128 * WIDTH),
                   .other = bench_floats(bench, CLUSTERS * WIDTH),
                   .clusters = bench_memory(bench, 128)};
  for (size_t c = 0; c < COUNT(counts); c++) {
    double bytes = 4.0 * (double)((counts[c] + CLUSTERS) * WIDTH);
    work.n = counts[c];
    bench_measure(bench, &(BenchCost){BENCH_FLOAT, 2.0 * (double)(work.n * WIDTH * CLUSTERS), bytes, bytes},
                  call_scar_assign, &work, "%zu rows of %d, %d clusters", work.n, WIDTH, CLUSTERS);
  }
}
