#include "tests/kernelcheck/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/kernelcheck/limits.h"

enum { MOST_MEMORY = 16, MOST_BATCHES = 25, LEAST_BATCHES = 3, LABEL_BYTES = 41 };

/* A batch is long enough for the clock; a measurement ends when it has enough of them or took so long. */
static const double batch_seconds = 0.5e-3;
static const double longest_seconds = 0.15;

struct Bench {
  const char *kernel;
  const GemKernels *kernels;
  const BenchLimits *limits;
  void *memory[MOST_MEMORY];
  size_t n_memory;
};

const GemKernels *
bench_kernels(const Bench *self)
{
  return self->kernels;
}

/* ---- memory ---- */

void *
bench_memory(Bench *self, size_t bytes)
{
  size_t rounded = (bytes + GEM_PACKED_ALIGNMENT - 1) / GEM_PACKED_ALIGNMENT * GEM_PACKED_ALIGNMENT;
  void *memory = self->n_memory < MOST_MEMORY ? aligned_alloc(GEM_PACKED_ALIGNMENT, rounded) : NULL;
  if (memory == NULL) {
    fprintf(stderr, "kernelcheck: no memory for the benchmark of %s (%zu bytes)\n", self->kernel, bytes);
    exit(EXIT_FAILURE);
  }
  memset(memory, 1, rounded);
  self->memory[self->n_memory++] = memory;
  return memory;
}

float *
bench_floats(Bench *self, size_t count)
{
  float *values = bench_memory(self, count * sizeof *values);
  uint32_t random = 1;
  for (size_t i = 0; i < count; i++) {
    random = random * 1664525u + 1013904223u;
    values[i] = (float)(int32_t)random * 0x1p-31f;
  }
  return values;
}

/* ---- time ---- */

static double
now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double
time_batch(void (*call)(void *data), void *data, size_t calls)
{
  double start = now();
  for (size_t i = 0; i < calls; i++) {
    call(data);
  }
  return (now() - start) / (double)calls;
}

static int
compare_doubles(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds of a call: the median of the batches. */
static double
time_call(void (*call)(void *data), void *data)
{
  double seconds[MOST_BATCHES];
  double start = now();
  size_t calls = 1, batches = 0;
  while (time_batch(call, data, calls) * (double)calls < batch_seconds) {
    calls *= 2;
  }
  while (batches < MOST_BATCHES && (batches < LEAST_BATCHES || now() - start < longest_seconds)) {
    seconds[batches++] = time_batch(call, data, calls);
  }
  qsort(seconds, batches, sizeof seconds[0], compare_doubles);
  return seconds[batches / 2];
}

/* ---- figures ---- */

/* Seconds that the limits leave; 0: this set's are not known. */
static double
least_seconds(const Bench *self, const BenchCost *cost)
{
  const BenchLimits *told = self->limits;
  double told_gops = cost->arithmetic == BENCH_INT8 ? told->int8_gops : told->float_gops;
  double gops = told_gops > 0 ? told_gops : limits_gops(self->kernels->name, cost->arithmetic == BENCH_INT8);
  double bandwidth = told->bandwidth > 0 ? told->bandwidth : limits_bandwidth(cost->set_bytes);
  if (gops <= 0 || bandwidth <= 0) {
    return 0;
  }
  double arithmetic = cost->operations / gops * 1e-9;
  double memory = cost->bytes / bandwidth * 1e-9;
  return arithmetic > memory ? arithmetic : memory;
}

/* The reference's time for the same label comes first, when it runs in the same call of the program. */
static double
speed_up(const Bench *self, const char *label, double seconds)
{
  enum { MOST_LABELS = 400 };
  static struct {
    char name[LABEL_BYTES + 24];
    double seconds;
  } references[MOST_LABELS];
  static size_t n_references;
  char name[sizeof references[0].name];
  snprintf(name, sizeof name, "%s %s", self->kernel, label);
  if (strcmp(self->kernels->name, gem_kernels_reference()->name) == 0 && n_references < MOST_LABELS) {
    memcpy(references[n_references].name, name, sizeof name);
    references[n_references++].seconds = seconds;
  }
  for (size_t i = 0; i < n_references; i++) {
    if (strcmp(references[i].name, name) == 0) {
      return references[i].seconds / seconds;
    }
  }
  return 0;
}

/* A figure, or a dash where there is none. */
static void
print_figure(double value, const char *format, const char *none)
{
  if (value > 0) {
    printf(format, value);
  } else {
    printf("%s", none);
  }
}

void
bench_measure(
    Bench *self, const BenchCost *cost, void (*call)(void *data), void *data, const char *format, ...)
{
  char label[LABEL_BYTES];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(label, sizeof label, format, arguments);
  va_end(arguments);
  double seconds = time_call(call, data) - (cost->besides != NULL ? time_call(cost->besides, data) : 0);
  printf("%-11s %-10s %-40s %12.3f", self->kernel, self->kernels->name, label, seconds * 1e6);
  print_figure(cost->operations / seconds * 1e-9, " %9.1f", "         -");
  printf(" %8.1f", cost->bytes / seconds * 1e-9);
  print_figure(100 * least_seconds(self, cost) / seconds, " %6.1f%%", "       -");
  print_figure(speed_up(self, label, seconds), " %7.1fx\n", "        -\n");
  fflush(stdout);
}

/* ---- running ---- */

static void
print_limits(const BenchLimits *told, const GemKernels *kernels)
{
  double int8 = told->int8_gops > 0 ? told->int8_gops : limits_gops(kernels->name, true);
  double floats = told->float_gops > 0 ? told->float_gops : limits_gops(kernels->name, false);
  if (int8 > 0 && floats > 0) {
    printf("limits of %s: %.0f Gop/s of int8, %.0f of floats\n", kernels->name, int8, floats);
  }
}

static void
print_bandwidth(const BenchLimits *told)
{
  if (told->bandwidth > 0) {
    printf("limit of memory: %.1f GB/s, as told\n", told->bandwidth);
    return;
  }
  printf("limits of reading, by how much is walked through: %.0f GB/s of 16 KiB, %.0f of 1 MiB, %.0f of %d "
         "MiB\n",
         limits_bandwidth(16 << 10), limits_bandwidth(1 << 20), limits_bandwidth(BENCH_MODEL_BYTES),
         BENCH_MODEL_BYTES >> 20);
}

void
bench_print_head(const BenchLimits *limits, const char *set)
{
  for (size_t i = 0; i < gem_kernels_count(); i++) {
    if (set == NULL || strcmp(gem_kernels_nth(i)->name, set) == 0) {
      print_limits(limits, gem_kernels_nth(i));
    }
  }
  print_bandwidth(limits);
  printf("%-11s %-10s %-40s %12s %9s %8s %7s %8s\n", "kernel", "set", "case", "us", "Gop/s", "GB/s", "limit",
         "speed-up");
}

void
bench_run(BenchFunction function, const char *kernel, const GemKernels *kernels, const BenchLimits *limits)
{
  Bench self = {.kernel = kernel, .kernels = kernels, .limits = limits};
  function(&self);
  for (size_t i = 0; i < self.n_memory; i++) {
    free(self.memory[i]);
  }
}
