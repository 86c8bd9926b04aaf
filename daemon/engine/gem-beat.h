/* The time at which the engine thread last showed that it is alive; written by it, read by the watchdog. */
#pragma once

#include <glib.h>

typedef _Atomic gint64 GemBeat; /* microseconds of the monotonic clock */

static inline void
gem_beat_now(GemBeat *beat)
{
  *beat = g_get_monotonic_time();
}
