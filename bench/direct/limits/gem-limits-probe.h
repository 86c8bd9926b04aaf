/* One thing that is measured: work that can be repeated any number of times, on any number of threads at
 * once, and what a repetition is worth. */
#pragma once

#include <gio/gio.h>

typedef struct _GemLimitsProbe GemLimitsProbe;

struct _GemLimitsProbe {
  char *name; /* "read 16 KiB": for progress and for errors */
  guint threads;
  /* Billions of bytes or operations that all threads together get done in one repetition; 0: the time of one
   * is the figure, in nanoseconds. */
  double amount;
  /* What thread `thread` of them does: `times` repetitions. FALSE when what came out is not what must come
   * out: something other than the work was timed. */
  gboolean (*work)(const GemLimitsProbe *self, guint thread, guint64 times);
  gconstpointer data; /* of `work`; borrowed */
  gsize bytes;        /* of memory that the probe goes over; 0 where that is not the question */

  guint64 times;  /* repetitions that take long enough to be timed; 0: not known yet */
  GArray *values; /* double: billions a second, or nanoseconds; one a round */
};

/* A probe with the fields that a caller sets; takes over the name. */
GemLimitsProbe *
gem_limits_probe_new(const GemLimitsProbe *fields);
void
gem_limits_probe_free(GemLimitsProbe *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLimitsProbe, gem_limits_probe_free)

/* Finds out how many repetitions take about `seconds`. Both fail, naming the probe, when the work did not do
 * what it was to do: G_IO_ERROR_FAILED. */
gboolean
gem_limits_probe_warm_up(GemLimitsProbe *self, double seconds, GError **error);
/* Times so many, and adds a value. After warming up. */
gboolean
gem_limits_probe_measure(GemLimitsProbe *self, GError **error);
