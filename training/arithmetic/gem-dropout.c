#include "training/arithmetic/gem-dropout.h"

#include "training/arithmetic/gem-random.h"

/* An even 32-bit number of `key` and `i` (murmur3's finisher), which a compiler computes for many i at once.
 */
static inline guint32
mix(guint32 key, guint32 i)
{
  guint32 h = (i * 0x9e3779b9U) ^ key;
  h = (h ^ (h >> 16)) * 0x85ebca6bU;
  h = (h ^ (h >> 13)) * 0xc2b2ae35U;
  return h ^ (h >> 16);
}

void
gem_dropout_apply(const GemDropout *self, guint place, float *x, gsize n)
{
  if (self->share <= 0.0) {
    return;
  }
  g_assert(self->share < 1.0 && n <= G_MAXUINT32);
  GemRandom random = gem_random_seeded(self->seed, place);
  guint32 key = (guint32)(gem_random_next(&random) >> 32);
  guint32 below = (guint32)(self->share * 0x1p32);
  float kept = (float)(1.0 / (1.0 - self->share));
  for (gsize i = 0; i < n; i++) {
    x[i] *= mix(key, (guint32)i) < below ? 0.0f : kept;
  }
}
