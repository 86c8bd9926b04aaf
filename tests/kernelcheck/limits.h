/* What this machine can do at most, one thread, measured on demand and remembered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Billions of operations a second of an instruction set, by its name in the table of kernels; 0: not known.
 */
double
limits_gops(const char *set, bool is_int8);

/* GB/s of reads from that many bytes, walked through again and again; 0: no memory. */
double
limits_bandwidth(double bytes);

/* ---- what is measured: probe.c, compiled once an instruction set ---- */

typedef struct {
  const char *set;
  /* Each runs `rounds` and returns how many operations or bytes it did; `keep` keeps the compiler from
   * dropping it. */
  double (*int8)(size_t rounds, uint64_t *keep);
  double (*floats)(size_t rounds, uint64_t *keep);
  double (*read)(const void *memory, size_t bytes, uint64_t *keep); /* a multiple of 1024 bytes */
} Probe;
