#include "daemon/engine/gem-kv-pool.h"

#include <string.h>

#include "plugins/gem-plugin.h"

/* Its tiles are taken for the first time in their order, so that the memory of those that never were is
 * never touched, not even to wipe it. */
typedef struct {
  guint8 *memory;
  guint8 *first; /* tile, aligned */
  gsize tiles;
  gsize taken; /* of them, at some time */
} Slab;

struct GemKvPool {
  gsize tile_bytes;
  gsize tiles;     /* in all slabs */
  GArray *slabs;   /* of Slab */
  guint fresh;     /* the slab of the next tile that was never taken; those before it have none */
  guint8 **unused; /* [tiles] the first n_unused: taken at some time, and given back */
  gsize n_unused;
};

GemKvPool *
gem_kv_pool_new(gsize tile_bytes)
{
  GemKvPool *self = g_new0(GemKvPool, 1);

  self->tile_bytes = tile_bytes;
  self->slabs = g_array_new(FALSE, FALSE, sizeof(Slab));
  return self;
}

void
gem_kv_pool_clear(GemKvPool *self)
{
  for (guint i = 0; i < self->slabs->len; i++) {
    Slab *slab = &g_array_index(self->slabs, Slab, i);

    explicit_bzero(slab->first, slab->taken * self->tile_bytes);
    g_free(slab->memory);
  }
  g_array_set_size(self->slabs, 0);
  self->fresh = 0;
  g_clear_pointer(&self->unused, g_free);
  self->tiles = 0;
  self->n_unused = 0;
}

void
gem_kv_pool_free(GemKvPool *self)
{
  if (self == NULL) {
    return;
  }
  gem_kv_pool_clear(self);
  g_array_unref(self->slabs);
  g_free(self);
}

gboolean
gem_kv_pool_reserve(GemKvPool *self, gsize tiles)
{
  Slab slab = {0};
  guint8 **unused;

  if (tiles <= self->tiles) {
    return TRUE;
  }
  slab.tiles = tiles - self->tiles;
  if (slab.tiles > (G_MAXSSIZE - GEM_KEY_VALUE_ALIGNMENT) / self->tile_bytes) {
    return FALSE;
  }
  slab.memory = g_try_malloc(slab.tiles * self->tile_bytes + GEM_KEY_VALUE_ALIGNMENT);
  if (slab.memory == NULL) {
    return FALSE;
  }
  unused = g_try_realloc_n(self->unused, tiles, sizeof *unused);
  if (unused == NULL) {
    g_free(slab.memory);
    return FALSE;
  }
  slab.first = slab.memory + GEM_KEY_VALUE_ALIGNMENT - (guintptr)slab.memory % GEM_KEY_VALUE_ALIGNMENT;
  self->unused = unused;
  self->tiles = tiles;
  g_array_append_val(self->slabs, slab);
  return TRUE;
}

gsize
gem_kv_pool_get_growth(const GemKvPool *self, gsize tiles)
{
  return tiles > self->tiles ? (tiles - self->tiles) * self->tile_bytes : 0;
}

guint8 *
gem_kv_pool_take(GemKvPool *self)
{
  Slab *slab;

  if (self->n_unused > 0) {
    return self->unused[--self->n_unused];
  }
  for (;; self->fresh++) {
    g_assert(self->fresh < self->slabs->len);
    slab = &g_array_index(self->slabs, Slab, self->fresh);
    if (slab->taken < slab->tiles) {
      return slab->first + slab->taken++ * self->tile_bytes;
    }
  }
}

void
gem_kv_pool_give(GemKvPool *self, guint8 *tile)
{
  self->unused[self->n_unused++] = tile;
}

gsize
gem_kv_pool_tile_bytes(const GemKvPool *self)
{
  return self->tile_bytes;
}

gsize
gem_kv_pool_bytes(const GemKvPool *self)
{
  return self->tiles * self->tile_bytes;
}
