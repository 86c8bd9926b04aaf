/* Probes of arithmetic: how many multiply-adds a second the processor makes of operands that it has at hand,
 * by kind of number and by instructions. */
#pragma once

#include "bench/direct/limits/gem-limits-cpu.h"
#include "bench/direct/limits/gem-limits-kernels.h"
#include "bench/direct/limits/gem-limits-probe.h"

typedef struct {
  const char *name;        /* "int8 VNNI-512" */
  const char *unit;        /* "Gop/s" or "Gflop/s": a multiply-add is two */
  GemLimitsFeatures needs; /* all of these */
  GemLimitsPeakLoop loop;
  guint round; /* multiply-adds of a round */
} GemLimitsPeak;

/* Those that run with these instructions; of each name one, the most direct way to it. Of const
 * GemLimitsPeak *; transfer container. */
GPtrArray *
gem_limits_peaks_find(GemLimitsFeatures features);

/* Billions of operations a second of all threads; the work is checked by its own count. */
GemLimitsProbe *
gem_limits_peaks_new_probe(const GemLimitsPeak *peak, guint threads);
