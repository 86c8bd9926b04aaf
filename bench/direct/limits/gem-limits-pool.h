/* What it costs the engine to share a call's work among its threads: of the pool itself that it does so with
 * (plugins/backends/cpu/gem-cpu-pool.h), which is given nothing to do. */
#pragma once

#include <gio/gio.h>

#include "plugins/backends/cpu/gem-cpu-pool.h"

typedef struct {
  GemCpuPool *pool;
  guint threads; /* of it, the caller's among them: a call has as many parts */
  GArray *empty; /* double: nanoseconds of a call with empty parts, which go to who comes first, often all to
                  * the caller; one a round, the median of many */
  GArray *meeting; /* the same of parts that wait until all have begun, so that every thread has to come: a
                    * bound from above of what a call costs, since their waiting is in it */
} GemLimitsPool;

/* Threads that wait for work. Errors: G_IO_ERROR_FAILED, when the system gives fewer or memory is short. */
GemLimitsPool *
gem_limits_pool_new(guint threads, GError **error);
void
gem_limits_pool_free(GemLimitsPool *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLimitsPool, gem_limits_pool_free)

/* One round, about `seconds` for each of the two. Errors: G_IO_ERROR_FAILED, when not every thread has come
 * to every meeting within about a second: something other than sharing was timed. */
gboolean
gem_limits_pool_measure(GemLimitsPool *self, double seconds, GError **error);
