/* The clock that durations are measured with. */
#pragma once

#include <time.h>

/* Seconds since some moment, which are never set back. */
static inline double
gem_bench_now(void)
{
  struct timespec time;

  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}
