#include "daemon/engine/gem-kv-pool.h"

#include <string.h>

#include "plugins/gem-plugin.h"

typedef struct {
  guint8 *memory;
  gsize bytes;
} Slab;

struct GemKvPool {
  gsize tile_bytes;
  gsize tiles;     /* in all slabs */
  GArray *slabs;   /* of Slab */
  guint8 **unused; /* [tiles] the first n_unused */
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

    explicit_bzero(slab->memory, slab->bytes);
    g_free(slab->memory);
  }
  g_array_set_size(self->slabs, 0);
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
  gsize more;
  Slab slab;
  guint8 **unused;
  guint8 *first;

  if (tiles <= self->tiles) {
    return TRUE;
  }
  more = tiles - self->tiles;
  if (more > (G_MAXSSIZE - GEM_KEY_VALUE_ALIGNMENT) / self->tile_bytes) {
    return FALSE;
  }
  slab.bytes = more * self->tile_bytes + GEM_KEY_VALUE_ALIGNMENT;
  slab.memory = g_try_malloc(slab.bytes);
  if (slab.memory == NULL) {
    return FALSE;
  }
  unused = g_try_realloc_n(self->unused, tiles, sizeof *unused);
  if (unused == NULL) {
    g_free(slab.memory);
    return FALSE;
  }
  self->unused = unused;
  self->tiles = tiles;
  g_array_append_val(self->slabs, slab);
  first = slab.memory + GEM_KEY_VALUE_ALIGNMENT - (guintptr)slab.memory % GEM_KEY_VALUE_ALIGNMENT;
  /* The first one is taken first: tiles that are read together lie together. */
  for (gsize i = more; i > 0; i--) {
    self->unused[self->n_unused++] = first + (i - 1) * self->tile_bytes;
  }
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
  g_assert(self->n_unused > 0);
  return self->unused[--self->n_unused];
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
