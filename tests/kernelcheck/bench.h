/*
 * How long a kernel takes, and what share that is of what the machine can do: the time that the limits of
 * arithmetic and of memory leave for the work (the longer of the two), of the time taken.
 */
#pragma once

#include "kernels/gem-kernels.h"

typedef struct Bench Bench;
typedef void (*BenchFunction)(Bench *self);

typedef enum { BENCH_INT8, BENCH_FLOAT } BenchArithmetic;

/* What one call does. */
typedef struct {
  BenchArithmetic arithmetic;
  double operations; /* a multiplication and an addition are two; 0: none to speak of */
  double bytes;      /* read and written */
  double set_bytes;  /* among how many it walks: the nearest cache that holds so much sets the limit */
  /* The part of the call that is not the kernel's, whose time is taken off; NULL: there is none. */
  void (*besides)(void *data);
} BenchCost;

/* Bytes that weights are walked through, as in a step of a model of that size. */
enum { BENCH_MODEL_BYTES = 20 << 20 };

const GemKernels *
bench_kernels(const Bench *self);

/* Memory until the end of the kernel's benchmark, aligned to GEM_PACKED_ALIGNMENT; `floats` are random within
 * -1 .. 1. The program ends where there is none. */
void *
bench_memory(Bench *self, size_t bytes);
float *
bench_floats(Bench *self, size_t count);

/* Calls `call` for some time and prints a line; the label is at most 40 characters. */
__attribute__((format(printf, 5, 6))) void
bench_measure(
    Bench *self, const BenchCost *cost, void (*call)(void *data), void *data, const char *format, ...);

/* ---- for the program ---- */

/* What is told; 0: measured. */
typedef struct {
  double int8_gops;
  double float_gops;
  double bandwidth; /* GB/s */
} BenchLimits;

/* Runs the benchmark of one kernel for a set. `limits` stays the caller's. */
void
bench_run(BenchFunction function, const char *kernel, const GemKernels *kernels, const BenchLimits *limits);

/* Where the limits come from and what they are, and the line above the figures. `set` is NULL for all. */
void
bench_print_head(const BenchLimits *limits, const char *set);
