#include "bench/direct/limits/gem-limits-probe.h"

#include <math.h>

#include "bench/direct/limits/gem-limits-wait.h"

/* Repetitions that follow on one: no faster, since the first runs find caches cold. */
#define MOST_GROWTH 64.0

/* A run of all threads of a probe. */
typedef struct {
  const GemLimitsProbe *probe;
  guint64 times;
  atomic_uint arrived; /* threads that are there */
  guint wrong;         /* threads whose work went wrong; atomic */
} Run;

typedef struct {
  Run *run;
  guint index;
  double started, ended; /* seconds */
} Worker;

GemLimitsProbe *
gem_limits_probe_new(const GemLimitsProbe *fields)
{
  GemLimitsProbe *self = g_memdup2(fields, sizeof *fields);

  self->times = 0;
  self->values = g_array_new(FALSE, FALSE, sizeof(double));
  return self;
}

void
gem_limits_probe_free(GemLimitsProbe *self)
{
  g_array_unref(self->values);
  g_free(self->name);
  g_free(self);
}

static gpointer
do_work(gpointer data)
{
  Worker *worker = data;
  Run *run = worker->run;

  /* Until all threads are on a processor, however long that takes: each of them has been made. */
  atomic_fetch_add_explicit(&run->arrived, 1, memory_order_acq_rel);
  gem_limits_wait(&run->arrived, run->probe->threads, INFINITY);
  worker->started = gem_bench_now();
  if (!run->probe->work(run->probe, worker->index, run->times)) {
    g_atomic_int_inc(&run->wrong);
  }
  worker->ended = gem_bench_now();
  return NULL;
}

/* Seconds from when the first of them starts to when the last is done; the caller's thread is one of them.
 * Negative when the work went wrong. */
static double
time_run(const GemLimitsProbe *self, guint64 times)
{
  Run run = {.probe = self, .times = times};
  g_autofree Worker *workers = g_new0(Worker, self->threads);
  g_autofree GThread **threads = g_new0(GThread *, self->threads);
  double started, ended;
  guint i;

  for (i = 0; i < self->threads; i++) {
    workers[i] = (Worker){.run = &run, .index = i};
    threads[i] = i == 0 ? NULL : g_thread_new("probe", do_work, &workers[i]);
  }
  do_work(&workers[0]);
  started = workers[0].started;
  ended = workers[0].ended;
  for (i = 1; i < self->threads; i++) {
    g_thread_join(threads[i]);
    started = MIN(started, workers[i].started);
    ended = MAX(ended, workers[i].ended);
  }
  return run.wrong == 0 ? ended - started : -1;
}

static gboolean
check_time(const GemLimitsProbe *self, double seconds, GError **error)
{
  if (seconds < 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "%s, %u threads: the work did not come out as it must, so its time says nothing", self->name,
                self->threads);
    return FALSE;
  }
  return TRUE;
}

/* The faster of two runs: one of them may have met some other process. */
static double
estimate(const GemLimitsProbe *self, guint64 times)
{
  double first = time_run(self, times);

  return first < 0 ? first : MIN(first, time_run(self, times));
}

gboolean
gem_limits_probe_warm_up(GemLimitsProbe *self, double seconds, GError **error)
{
  guint64 times = 1;

  for (;;) {
    double taken = estimate(self, times), growth;

    if (!check_time(self, taken, error)) {
      return FALSE;
    }
    growth = taken > 0 ? MIN(seconds / taken, MOST_GROWTH) : MOST_GROWTH;
    if (growth < 2) {
      self->times = MAX(1u, (guint64)((double)times * growth));
      return TRUE;
    }
    times = (guint64)((double)times * growth);
  }
}

gboolean
gem_limits_probe_measure(GemLimitsProbe *self, GError **error)
{
  double seconds = time_run(self, self->times), once = seconds / (double)self->times, value;

  if (!check_time(self, seconds, error)) {
    return FALSE;
  }
  value = self->amount > 0 ? self->amount / once : once * 1e9;
  g_array_append_val(self->values, value);
  return TRUE;
}
