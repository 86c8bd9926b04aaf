/*
 * The keys and values of one sequence, for every layer, in tiles of the backend's form.
 *
 * Each layer has a list of all positions in their order and, where attention works by clusters, a list for
 * each cluster (gem_list_of_position): a row is stored in both, so that a token which sees its cluster and a
 * window reads whole tiles of what it sees, and next to nothing else. Of the list in order the tiles before
 * the window are given up then. The cache grows as rows are stored and is wiped before its memory goes back.
 */
#pragma once

#include <glib.h>

#include "plugins/gem-plugin.h"

typedef struct {
  const GemBackend *backend;
  guint layers;
  GemKeyValueForm form;
  guint limit;         /* rows that it may ever hold */
  gsize tile_bytes;    /* of the backend, for that form */
  guint clusters;      /* lists; 0: attention does without */
  guint window;        /* latest positions that are kept in order; G_MAXUINT: all */
  gboolean successors; /* a row is on the list of the cluster before it (gem_list_of_position) */
} GemKvCacheShape;

typedef struct GemKvCache GemKvCache;

/* Holds nothing yet. */
GemKvCache *
gem_kv_cache_new(const GemKvCacheShape *shape);
/* Wipes and frees. */
void
gem_kv_cache_free(GemKvCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemKvCache, gem_kv_cache_free)

/* Forgets all rows; wipes and frees what they stood in. */
void
gem_kv_cache_clear(GemKvCache *self);

/* Makes room for n more rows at position `first`, in all layers; rows from there on are forgotten, those
 * before it are kept. GEM_ERROR_FAILED when memory is short (nothing changes then); all rows must be within
 * the limit.
 */
gboolean
gem_kv_cache_reserve(GemKvCache *self, guint first, guint n, GError **error);

/* Whether it grows by no more than is needed, a tile at a time; at first it takes room for as many rows again
 * as it holds. */
void
gem_kv_cache_set_lean(GemKvCache *self, gboolean lean);

/* Bytes that it would take more after gem_kv_cache_reserve. */
gsize
gem_kv_cache_get_growth(const GemKvCache *self, guint first, guint n);

/* Where rows go: in order, and in their clusters' lists, which is not looked at without clusters. The
 * caller's arrays, a row's at its index; the tiles are the caches'. */
typedef struct {
  guint8 **tiles;
  guint8 *places;
  guint8 **list_tiles;
  guint8 *list_places;
} GemKvPlaces;

/* Finds places for n rows of a layer at position `first`, as they were reserved; `clusters` has the cluster
 * of each, NULL without clusters. The rows count from now on, and gem_kv_cache_store comes before anything
 * reads them. Allocates nothing. */
void
gem_kv_cache_place(GemKvCache *self,
                   guint layer,
                   guint first,
                   guint n,
                   const guint8 *clusters,
                   const GemKvPlaces *ret_places);

/* Stores keys and values [n][kv_heads][head_dim] at the first n of `places`, which are of caches of this
 * one's form that have clusters if it has: rows of several sequences at once, so that threads can share them.
 */
void
gem_kv_cache_store(
    const GemKvCache *self, const GemKvPlaces *places, guint n, const float *keys, const float *values);

const GemKeyValueForm *
gem_kv_cache_get_form(const GemKvCache *self);

/* What a layer holds, the latest n rows as the span's; borrowed until the next change. */
GemAttentionSpan
gem_kv_cache_get_span(const GemKvCache *self, guint layer, guint n);

/* Memory that one of this shape takes at most when it has taken up to `rows` rows, up to `block` at a time.
 * Any thread. */
guint64
gem_kv_cache_most_bytes(const GemKvCache *self, guint rows, guint block);
/* Memory that it takes now. */
gsize
gem_kv_cache_bytes(const GemKvCache *self);
