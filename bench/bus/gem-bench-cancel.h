/* How long a turn takes to end after it was cancelled. */
#pragma once

#include "bench/gem-bench-progress.h"
#include "clients/gem-client/gem-client-remote.h"

/* What all turns do. */
typedef struct {
  GVariant *session;  /* a{sv}: options of CreateSession */
  const char *prompt; /* goes to the model as it is */
  guint tokens;       /* of an answer, at most */
} GemBenchCancelPlan;

/* Milliseconds from the call of Cancel to the end (Finished, and the end of the pipe), a double each. Turns
 * that were over before they were cancelled are left out. */
typedef struct {
  GArray *prefill; /* cancelled while the prompt was read */
  GArray *decode;  /* cancelled while the answer was written */
} GemBenchCancelTimes;

void
gem_bench_cancel_times_init(GemBenchCancelTimes *self);
void
gem_bench_cancel_times_clear(GemBenchCancelTimes *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemBenchCancelTimes, gem_bench_cancel_times_clear)

/* One turn in full, which tells how long the prompt takes; then `rounds` turns that are cancelled at moments
 * spread evenly over that time, and as many that are cancelled within the first tokens of their answer. A
 * step of `progress` for each of the 2 * rounds. The first error of the service ends it. */
gboolean
gem_bench_cancel_run(GemRemote *remote,
                     const GemBenchCancelPlan *plan,
                     guint rounds,
                     GemBenchProgress *progress,
                     GemBenchCancelTimes *times,
                     GError **error);
