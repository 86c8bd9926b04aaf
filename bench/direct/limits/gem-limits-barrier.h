/* The probe of a barrier: what it costs two threads to wait for each other when both spin. */
#pragma once

#include "bench/direct/limits/gem-limits-probe.h"

/* A pair of flags in cache lines of their own: each thread raises its own and waits for the other's.
 * Nanoseconds a barrier. */
GemLimitsProbe *
gem_limits_barrier_new_probe(void);
