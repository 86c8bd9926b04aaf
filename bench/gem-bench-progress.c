#include "bench/gem-bench-progress.h"

#include <stdio.h>
#include <unistd.h>

/* Between two lines, in microseconds. */
#define PAUSE_TERMINAL (G_USEC_PER_SEC / 5)
#define PAUSE_FILE     (30 * G_USEC_PER_SEC)

struct _GemBenchProgress {
  guint total, done;
  gint64 started, shown; /* monotonic time */
  gboolean terminal;
};

GemBenchProgress *
gem_bench_progress_new(guint total)
{
  GemBenchProgress *self = g_new0(GemBenchProgress, 1);

  self->total = total;
  self->started = self->shown = g_get_monotonic_time();
  self->terminal = isatty(STDERR_FILENO);
  return self;
}

void
gem_bench_progress_free(GemBenchProgress *self)
{
  if (self->terminal) {
    fputs("\r\033[K", stderr);
  }
  g_free(self);
}

char *
gem_bench_progress_describe_seconds(double seconds)
{
  if (seconds < 90) {
    return g_strdup_printf("%.0f s", seconds);
  }
  return seconds < 90 * 60 ? g_strdup_printf("%.0f min", seconds / 60)
                           : g_strdup_printf("%.1f h", seconds / 3600);
}

void
gem_bench_progress_prepare(GemBenchProgress *self, const char *name)
{
  if (self->terminal) {
    fprintf(stderr, "\r\033[K%s ...", name);
    fflush(stderr);
  }
}

void
gem_bench_progress_step(GemBenchProgress *self, const char *name)
{
  gint64 now = g_get_monotonic_time();
  g_autofree char *left = NULL;

  self->done++;
  if (now - self->shown < (self->terminal ? PAUSE_TERMINAL : PAUSE_FILE)) {
    return;
  }
  self->shown = now;
  left = gem_bench_progress_describe_seconds((double)(now - self->started) / G_USEC_PER_SEC / self->done *
                                             (self->total - self->done));
  fprintf(stderr, self->terminal ? "\r\033[K%u of %u, %s left: %s" : "%u of %u, %s left: %s\n", self->done,
          self->total, left, name);
  fflush(stderr);
}
