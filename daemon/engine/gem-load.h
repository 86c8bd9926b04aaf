/*
 * How much the engine thread has to do: tokens run in the last seconds, and who waits. Written by that
 * thread, which takes no lock for it; read by any.
 */
#pragma once

#include <glib.h>

#define GEM_LOAD_SECONDS 10

typedef struct {
  _Atomic guint64 seconds[GEM_LOAD_SECONDS + 2]; /* upper half: which second; lower: tokens run in it */
  _Atomic guint64 tokens;                        /* all, ever */
  _Atomic guint running, waiting;                /* jobs: with rows in the steps; not begun */
} GemLoad;

/* `tokens` more at `now`, in microseconds of the monotonic clock. */
void
gem_load_add(GemLoad *self, gint64 now, guint64 tokens);
/* Tokens a second over the GEM_LOAD_SECONDS whole seconds before `now`. */
double
gem_load_get_rate(GemLoad *self, gint64 now);
