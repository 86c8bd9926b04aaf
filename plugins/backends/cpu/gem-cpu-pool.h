/*
 * The threads that share one call's work. Between calls that follow each other closely they spin, so that a
 * call costs no system call; after a while without work they sleep.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct GemCpuPool GemCpuPool;

/* One part of the work, 0 <= part < parts. Parts run in any order, each once. */
typedef void (*GemCpuPoolFunction)(void *context, size_t part, size_t parts);

/* A pool of `threads` >= 1 threads, of which the caller is one. Fewer where the system refuses more. NULL:
 * out of memory. */
GemCpuPool *
gem_cpu_pool_new(size_t threads);
void
gem_cpu_pool_free(GemCpuPool *self);

size_t
gem_cpu_pool_threads(const GemCpuPool *self);

/* The parts that a call is cut into when its work is enough for `most` of them, at most `limit`: one, which
 * stays with the caller, when it is not enough for two. */
static inline size_t
gem_cpu_pool_cut(size_t most, size_t limit)
{
  return most < 2 || limit < 2 ? 1 : most < limit ? most : limit;
}

/* Runs all parts, some on the other threads, and returns when all are done. From one thread at a time. */
void
gem_cpu_pool_run(GemCpuPool *self, GemCpuPoolFunction function, void *context, size_t parts);

/* The same of parts that may wait for a disk, or for pages: one that takes its time says nothing of a lost
 * CPU. */
void
gem_cpu_pool_run_patiently(GemCpuPool *self, GemCpuPoolFunction function, void *context, size_t parts);
