/* Memory of the tiles of one key-value cache: taken and given back one by one, and what was taken is wiped
 * before it goes back to the system. */
#pragma once

#include <glib.h>

typedef struct GemKvPool GemKvPool;

/* Empty; tiles are aligned to GEM_KEY_VALUE_ALIGNMENT. */
GemKvPool *
gem_kv_pool_new(gsize tile_bytes);
/* Wipes all tiles that were ever taken, and frees all, those in use included. */
void
gem_kv_pool_clear(GemKvPool *self);
/* The same, and the pool itself. */
void
gem_kv_pool_free(GemKvPool *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemKvPool, gem_kv_pool_free)

/* Makes it hold `tiles` tiles at least, those in use included. FALSE: no memory, and nothing has changed. */
gboolean
gem_kv_pool_reserve(GemKvPool *self, gsize tiles);

/* Bytes that it would take more then. */
gsize
gem_kv_pool_get_growth(const GemKvPool *self, gsize tiles);

/* A tile, with whatever it held; there must be one. Allocates nothing. */
guint8 *
gem_kv_pool_take(GemKvPool *self);
void
gem_kv_pool_give(GemKvPool *self, guint8 *tile);

/* Of one tile. Any thread. */
gsize
gem_kv_pool_tile_bytes(const GemKvPool *self);
/* Of all tiles, in use or not. */
gsize
gem_kv_pool_bytes(const GemKvPool *self);
