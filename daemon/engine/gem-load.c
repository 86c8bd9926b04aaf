#include "daemon/engine/gem-load.h"

#define SLOTS G_N_ELEMENTS(((GemLoad *)NULL)->seconds)

static guint64
second_of(gint64 time)
{
  return (guint64)(time / G_USEC_PER_SEC) & G_MAXUINT32;
}

void
gem_load_add(GemLoad *self, gint64 now, guint64 tokens)
{
  guint64 second = second_of(now);
  _Atomic guint64 *slot = &self->seconds[second % SLOTS];
  guint64 value = *slot;

  if (value >> 32 != second) {
    value = second << 32;
  }
  *slot = value + tokens;
  self->tokens += tokens;
}

double
gem_load_get_rate(GemLoad *self, gint64 now)
{
  guint64 this_second = second_of(now);
  guint64 sum = 0;

  for (guint64 ago = 1; ago <= GEM_LOAD_SECONDS && ago <= this_second; ago++) {
    guint64 second = this_second - ago;
    guint64 value = self->seconds[second % SLOTS];

    sum += value >> 32 == second ? value & G_MAXUINT32 : 0;
  }
  return (double)sum / GEM_LOAD_SECONDS;
}
