/* How far a long measurement is, on standard error: a line that is written over on a terminal, a line now and
 * then elsewhere. */
#pragma once

#include <glib.h>

typedef struct _GemBenchProgress GemBenchProgress;

/* `total` steps are to come. */
GemBenchProgress *
gem_bench_progress_new(guint total);
/* Ends the line on a terminal. */
void
gem_bench_progress_free(GemBenchProgress *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchProgress, gem_bench_progress_free)

/* What is done before the first step, on a terminal. */
void
gem_bench_progress_prepare(GemBenchProgress *self, const char *name);

/* One more step is done, of what `name` says. */
void
gem_bench_progress_step(GemBenchProgress *self, const char *name);

/* "40 s", "12 min", "2.5 h". Transfer full. */
char *
gem_bench_progress_describe_seconds(double seconds);
