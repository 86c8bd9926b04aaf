#include "bench/direct/limits/gem-limits-barrier.h"

#include <math.h>

#include "bench/direct/limits/gem-limits-wait.h"

/* How often a thread has come to the barrier. Processors fetch lines in pairs of 128 bytes. */
typedef struct {
  _Alignas(128) atomic_uint arrived;
} Flag;

static Flag flags[2];

/* Both threads leave with the same count, so a run begins where the one before ended. */
static gboolean
pass_barriers(const GemLimitsProbe *probe, guint thread, guint64 times)
{
  atomic_uint *own = &flags[thread].arrived, *other = &flags[1 - thread].arrived;
  unsigned begun = atomic_load(own), count = begun;
  guint64 i;

  (void)probe;
  for (i = 0; i < times; i++) {
    atomic_store_explicit(own, ++count, memory_order_release);
    gem_limits_wait(other, count, INFINITY);
  }
  return atomic_load(own) == begun + (unsigned)times;
}

GemLimitsProbe *
gem_limits_barrier_new_probe(void)
{
  GemLimitsProbe fields = {
      .name = g_strdup("barrier of two flags"),
      .threads = 2,
      .work = pass_barriers,
  };

  return gem_limits_probe_new(&fields);
}
