/* Benchmarks of what draws tokens, over the logits of a vocabulary. */
#include "tests/kernelcheck/kernels.h"

enum { VOCABULARY = 12800 };

typedef struct {
  const GemKernels *kernels;
  float *x;
  uint32_t *weights, *gathered;
  uint32_t least;
} SamplingWork;

/* Random logits within -8 .. 8, and their weights. */
static SamplingWork
new_work(Bench *bench)
{
  SamplingWork work = {.kernels = bench_kernels(bench),
                       .x = bench_floats(bench, VOCABULARY),
                       .weights = bench_memory(bench, VOCABULARY * sizeof *work.weights),
                       .gathered = bench_memory(bench, VOCABULARY * sizeof *work.gathered)};
  uint64_t mass;
  for (size_t i = 0; i < VOCABULARY; i++) {
    work.x[i] *= 8.0f;
  }
  gem_kernels_reference()->weigh(work.x, VOCABULARY, 8.0f, 1.0f, work.weights, &mass);
  return work;
}

static void
call_find_largest(void *data)
{
  SamplingWork *work = data;
  size_t index;
  work->kernels->find_largest(work->x, VOCABULARY, &index);
}

void
bench_kernel_find_largest(Bench *bench)
{
  SamplingWork work = new_work(bench);
  double bytes = 4.0 * VOCABULARY;
  bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_find_largest, &work,
                "%d values", VOCABULARY);
}

static void
call_weigh(void *data)
{
  SamplingWork *work = data;
  uint64_t mass;
  work->kernels->weigh(work->x, VOCABULARY, 8.0f, 1.25f, work->gathered, &mass);
}

void
bench_kernel_weigh(Bench *bench)
{
  SamplingWork work = new_work(bench);
  double bytes = 8.0 * VOCABULARY;
  bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_weigh, &work, "%d values",
                VOCABULARY);
}

static void
call_tally(void *data)
{
  SamplingWork *work = data;
  size_t count;
  uint64_t mass;
  work->kernels->tally(work->weights, VOCABULARY, work->least, &count, &mass);
}

void
bench_kernel_tally(Bench *bench)
{
  SamplingWork work = new_work(bench);
  double bytes = 4.0 * VOCABULARY;
  work.least = 1 << 20;
  bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_tally, &work, "%d weights",
                VOCABULARY);
}

static void
call_gather(void *data)
{
  SamplingWork *work = data;
  size_t count;
  work->kernels->gather(work->weights, VOCABULARY, work->least, 1 << 30, work->gathered, &count);
}

void
bench_kernel_gather(Bench *bench)
{
  static const int bits[] = {29, 26, 20};
  SamplingWork work = new_work(bench);
  double bytes = 4.0 * VOCABULARY;
  for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
    work.least = 1u << bits[i];
    bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_gather, &work,
                  "%d weights, from 2^%d on", VOCABULARY, bits[i]);
  }
}
