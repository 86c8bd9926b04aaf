/* How a thread of a probe waits for the others: it spins, as the engine's threads do. */
#pragma once

#include <glib.h>
#include <stdatomic.h>

#include "bench/gem-bench-clock.h"

/* Looks before a thread lets some other one run, which may wait for its processor, and sees what time it is:
 * the clock is left alone before, since it would be a good part of what is measured. */
#define GEM_LIMITS_PATIENCE 10000u

/* Until `count`, which may wrap around, has come to `wanted`. FALSE: it has not in about `seconds`. */
static inline gboolean
gem_limits_wait(const atomic_uint *count, guint wanted, double seconds)
{
  double end = 0; /* 0: not known yet */
  guint looked = 0;

  while ((gint)(atomic_load_explicit(count, memory_order_acquire) - wanted) < 0) {
    if (++looked % GEM_LIMITS_PATIENCE == 0) {
      double now = gem_bench_now();

      end = end > 0 ? end : now + seconds;
      if (now >= end) {
        return FALSE;
      }
      g_thread_yield();
    }
  }
  return TRUE;
}
