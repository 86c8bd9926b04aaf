/* Rows of one sequence into its cache, at once. */
#pragma once

#include "daemon/engine/gem-kv-cache.h"

/* n rows of a layer at position `first`, as they were reserved: keys, values [n][kv_heads][head_dim], and the
 * cluster of each, NULL without clusters. */
static inline void
gem_test_kv_store(GemKvCache *cache,
                  guint layer,
                  guint first,
                  guint n,
                  const float *keys,
                  const float *values,
                  const guint8 *clusters)
{
  g_autofree guint8 **tiles = g_new(guint8 *, n), **list_tiles = g_new(guint8 *, n);
  g_autofree guint8 *places = g_new(guint8, n), *list_places = g_new(guint8, n);
  GemKvPlaces to = {
      .tiles = tiles,
      .places = places,
      .list_tiles = list_tiles,
      .list_places = list_places,
  };

  gem_kv_cache_place(cache, layer, first, n, clusters, &to);
  gem_kv_cache_store(cache, &to, n, keys, values);
}
