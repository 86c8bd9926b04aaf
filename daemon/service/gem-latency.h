/* How long something took, many times: a histogram with eight parts to each doubling, so that what it says is
 * at most a tenth too much, whatever the number of times. */
#pragma once

#include <glib.h>

/* 1 us to an hour. */
#define GEM_LATENCY_PARTS (8 * 32)

typedef struct {
  guint64 count;
  guint64 parts[GEM_LATENCY_PARTS];
} GemLatency; /* zeroed: empty */

void
gem_latency_add(GemLatency *self, gint64 microseconds);
/* Seconds within which that share (0..1] of the times lie; 0 when there are none. */
double
gem_latency_get(const GemLatency *self, double share);
