#include "bench/direct/limits/gem-limits-pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "bench/gem-bench-statistics.h"

/* Calls between two looks at the clock, which would else be a good part of what is measured. */
#define BATCH 8u
/* Batches of a round at least, however long they take. */
#define LEAST_BATCHES 15u

/* Looks at the others before a thread that waits lets some other one run. */
#define PATIENCE 10000u

/* Of the calls of a round. */
typedef struct {
  _Alignas(128) atomic_size_t begun; /* parts */
  size_t all;                        /* that will have begun when those of the latest call have */
  atomic_size_t elsewhere;           /* parts that ran on other threads than the caller's */
  pthread_t caller;
  size_t calls;
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
  guint looked = 0;

  if (!pthread_equal(pthread_self(), meeting->caller)) {
    atomic_fetch_add_explicit(&meeting->elsewhere, 1, memory_order_relaxed);
  }
  atomic_fetch_add_explicit(&meeting->begun, 1, memory_order_acq_rel);
  while (atomic_load_explicit(&meeting->begun, memory_order_acquire) < meeting->all) {
    if (++looked % PATIENCE == 0) {
      g_thread_yield();
    }
  }
}

static double
now(void)
{
  struct timespec time;

  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Patiently: after a late thread the other way of calling leaves all to the caller for a while, which would
 * be no sharing. Until then both are the same. */
static void
call(GemLimitsPool *self, GemCpuPoolFunction function, Meeting *meeting)
{
  meeting->calls++;
  meeting->all += self->threads;
  gem_cpu_pool_run_patiently(self->pool, function, meeting, self->threads);
}

/* Nanoseconds a call. */
static double
time_calls(GemLimitsPool *self, GemCpuPoolFunction function, Meeting *meeting, double seconds)
{
  g_autoptr(GArray) batches = g_array_new(FALSE, FALSE, sizeof(double));
  double began = now(), started = began;

  while (batches->len < LEAST_BATCHES || started - began < seconds) {
    double ended, once;
    guint i;

    for (i = 0; i < BATCH; i++) {
      call(self, function, meeting);
    }
    ended = now();
    once = (ended - started) * 1e9 / BATCH;
    g_array_append_val(batches, once);
    started = ended;
  }
  return gem_bench_spread(batches).median;
}

gboolean
gem_limits_pool_measure(GemLimitsPool *self, double seconds, GError **error)
{
  Meeting nobody = {.caller = pthread_self()}, everybody = {.caller = pthread_self()};
  double empty = time_calls(self, do_nothing, &nobody, seconds);
  double meeting = time_calls(self, meet, &everybody, seconds);

  if (everybody.elsewhere != everybody.calls * (self->threads - 1)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the pool of %u threads: not all of them came, so its time says nothing", self->threads);
    return FALSE;
  }
  g_array_append_val(self->empty, empty);
  g_array_append_val(self->meeting, meeting);
  return TRUE;
}
