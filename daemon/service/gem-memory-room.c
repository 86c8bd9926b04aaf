#include "daemon/service/gem-memory-room.h"

#include <stdlib.h>

/* Of the unit's limit, in percent. */
#define WANTED_PERCENT 70u
/* Smaller changes are none: the reciprocal of their share of the unit's limit. */
#define LEAST_CHANGE 16u

static int
compare(const void *one, const void *other)
{
  guint64 a = *(const guint64 *)one, b = *(const guint64 *)other;

  return a < b ? -1 : a > b;
}

/* The median of the last looks. */
static guint64
judge_others(const GemMemoryRoom *self)
{
  guint n = MIN(self->looks, GEM_MEMORY_LOOKS);
  guint64 sorted[GEM_MEMORY_LOOKS];

  for (guint i = 0; i < n; i++) {
    sorted[i] = self->others[i];
  }
  qsort(sorted, n, sizeof sorted[0], compare);
  return sorted[n / 2];
}

guint64
gem_memory_room_take(GemMemoryRoom *self, guint64 held, guint64 limit, guint64 resident, guint64 least)
{
  guint64 wanted, others, change;

  if (limit == 0) {
    *self = (GemMemoryRoom){0};
    return 0;
  }
  self->others[self->looks % GEM_MEMORY_LOOKS] = held - MIN(held, resident);
  self->looks++;
  wanted = limit / 100 * WANTED_PERCENT;
  others = judge_others(self);
  wanted = MAX(wanted - MIN(wanted, others), least);
  change = wanted > self->limit ? wanted - self->limit : self->limit - wanted;
  if (self->limit == 0 || change >= limit / LEAST_CHANGE) {
    self->limit = wanted;
  }
  return self->limit;
}
