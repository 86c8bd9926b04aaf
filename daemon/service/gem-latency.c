#include "daemon/service/gem-latency.h"

#include <math.h>

#define PARTS_OF_A_DOUBLING 8.0

/* The upper end of a part, in microseconds. */
static double
end_of(guint part)
{
  return exp2((part + 1) / PARTS_OF_A_DOUBLING);
}

void
gem_latency_add(GemLatency *self, gint64 microseconds)
{
  double part = microseconds > 1 ? floor(log2((double)microseconds) * PARTS_OF_A_DOUBLING) : 0;

  self->parts[MIN((guint)part, GEM_LATENCY_PARTS - 1)]++;
  self->count++;
}

double
gem_latency_get(const GemLatency *self, double share)
{
  guint64 wanted = (guint64)ceil(share * (double)self->count);
  guint64 sum = 0;

  for (guint part = 0; part < GEM_LATENCY_PARTS && self->count > 0; part++) {
    sum += self->parts[part];
    if (sum >= MAX(wanted, 1)) {
      return end_of(part) / G_USEC_PER_SEC;
    }
  }
  return 0;
}
