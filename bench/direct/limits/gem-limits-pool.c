#include "bench/direct/limits/gem-limits-pool.h"

#include "bench/direct/limits/gem-limits-wait.h"
#include "bench/gem-bench-statistics.h"

/* Calls between two looks at the clock, which would else be a good part of what is measured. */
#define BATCH 8u
/* Batches of a round at least, however long they take. */
#define LEAST_BATCHES 15u

/* Seconds after which a part gives up on the others. */
#define MOST_WAIT 1.0

/* Of the calls of a round. */
typedef struct {
  _Alignas(128) atomic_uint begun; /* parts */
  guint all;                       /* that will have begun when those of the latest call have */
  atomic_bool missed;              /* a part has given up: not every thread has come */
} Meeting;

GemLimitsPool *
gem_limits_pool_new(guint threads, GError **error)
{
  g_autoptr(GemLimitsPool) self = g_new0(GemLimitsPool, 1);

  self->empty = g_array_new(FALSE, FALSE, sizeof(double));
  self->meeting = g_array_new(FALSE, FALSE, sizeof(double));
  self->pool = gem_cpu_pool_new(threads);
  self->threads = self->pool == NULL ? 0 : (guint)gem_cpu_pool_threads(self->pool);
  if (self->threads < threads) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "no pool of %u threads: the system gives %u", threads,
                self->threads);
    return NULL;
  }
  return g_steal_pointer(&self);
}

void
gem_limits_pool_free(GemLimitsPool *self)
{
  g_clear_pointer(&self->pool, gem_cpu_pool_free);
  g_array_unref(self->empty);
  g_array_unref(self->meeting);
  g_free(self);
}

static void
do_nothing(void *context, size_t part, size_t parts)
{
}

static void
meet(void *context, size_t part, size_t parts)
{
  Meeting *meeting = context;

  atomic_fetch_add_explicit(&meeting->begun, 1, memory_order_acq_rel);
  if (!atomic_load(&meeting->missed) && !gem_limits_wait(&meeting->begun, meeting->all, MOST_WAIT)) {
    atomic_store(&meeting->missed, true);
  }
}

/* Patiently: after a late thread the other way of calling leaves all to the caller for a while, which would
 * be no sharing. Until then both are the same. */
static void
call(GemLimitsPool *self, GemCpuPoolFunction function, Meeting *meeting)
{
  meeting->all += self->threads;
  gem_cpu_pool_run_patiently(self->pool, function, meeting, self->threads);
}

/* Nanoseconds a call; of nothing when a meeting was missed. */
static double
time_calls(GemLimitsPool *self, GemCpuPoolFunction function, Meeting *meeting, double seconds)
{
  g_autoptr(GArray) batches = g_array_new(FALSE, FALSE, sizeof(double));
  double began = gem_bench_now(), started = began;

  while (!meeting->missed && (batches->len < LEAST_BATCHES || started - began < seconds)) {
    double ended, once;
    guint i;

    for (i = 0; i < BATCH && !meeting->missed; i++) {
      call(self, function, meeting);
    }
    ended = gem_bench_now();
    once = (ended - started) * 1e9 / BATCH;
    g_array_append_val(batches, once);
    started = ended;
  }
  return gem_bench_spread(batches).median;
}

gboolean
gem_limits_pool_measure(GemLimitsPool *self, double seconds, GError **error)
{
  Meeting nobody = {0}, everybody = {0};
  double empty = time_calls(self, do_nothing, &nobody, seconds);
  double meeting = time_calls(self, meet, &everybody, seconds);

  if (everybody.missed) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the pool of %u threads: not all of them came, so its time says nothing", self->threads);
    return FALSE;
  }
  g_array_append_val(self->empty, empty);
  g_array_append_val(self->meeting, meeting);
  return TRUE;
}
