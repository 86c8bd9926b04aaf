/*
 * The keys and values of one sequence, with the SCAR cluster of each row, for every layer. Row j belongs to
 * position j. It grows as rows are stored and is wiped before its memory goes back.
 */
#pragma once

#include <glib.h>

#include "plugins/gem-plugin.h"

typedef struct {
  guint layers;
  guint kv_heads;
  guint head_dim;    /* values a head */
  guint limit;       /* rows that it may ever hold */
  gboolean half;     /* F16 in place of Q8_0; also taken when head_dim is no multiple of 32 */
  gboolean clusters; /* keep a cluster a row */
} GemKvCacheShape;

typedef struct GemKvCache GemKvCache;

/* Holds nothing yet. */
GemKvCache *
gem_kv_cache_new(const GemKvCacheShape *shape);
/* Wipes and frees. */
void
gem_kv_cache_free(GemKvCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemKvCache, gem_kv_cache_free)

/* Makes room for `rows` rows, keeping those that are there. GEM_ERROR_FAILED when memory is short (nothing
 * changes then); rows must be within the limit. */
gboolean
gem_kv_cache_reserve(GemKvCache *self, guint rows, GError **error);

/* Stores n rows at position first: keys, values [n][kv_heads][head_dim]. There must be room. */
void
gem_kv_cache_store(
    GemKvCache *self, guint layer, guint first, guint n, const float *keys, const float *values);

GemKeyValueRows
gem_kv_cache_keys(GemKvCache *self, guint layer);
GemKeyValueRows
gem_kv_cache_values(GemKvCache *self, guint layer);
/* The clusters of positions 0.. in a layer, to be read and written; NULL without clusters. */
guint8 *
gem_kv_cache_clusters(GemKvCache *self, guint layer);

/* Memory that it takes now. */
gsize
gem_kv_cache_bytes(GemKvCache *self);
