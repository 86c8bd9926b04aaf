#include "daemon/engine/gem-kv-cache.h"

#include <string.h>

#include "dbus/gem-error.h"
#include "kernels/gem-types.h"

/* Rows are added at least this many at a time. */
#define GROWTH_ROWS 64u

typedef struct {
  guint8 *keys, *values; /* [capacity][row_bytes] */
  guint8 *clusters;      /* [capacity]; NULL without clusters */
} Layer;

struct GemKvCache {
  GemKvCacheShape shape;
  GemType type;
  gsize head_bytes;
  gsize row_bytes;
  guint capacity; /* rows */
  Layer *layers;
};

GemKvCache *
gem_kv_cache_new(const GemKvCacheShape *shape)
{
  GemKvCache *self = g_new0(GemKvCache, 1);

  self->shape = *shape;
  self->type = GEM_TYPE_Q8_0;
  if (shape->half || shape->head_dim % gem_type_block_cols(GEM_TYPE_Q8_0) != 0) {
    self->type = GEM_TYPE_F16;
  }
  self->head_bytes = gem_type_row_bytes(self->type, shape->head_dim);
  self->row_bytes = self->head_bytes * shape->kv_heads;
  self->layers = g_new0(Layer, shape->layers);
  return self;
}

static void
wipe_and_free(guint8 *data, gsize bytes)
{
  if (data != NULL) {
    explicit_bzero(data, bytes);
    g_free(data);
  }
}

static void
clear_layer(const GemKvCache *self, Layer *layer, guint capacity)
{
  wipe_and_free(layer->keys, capacity * self->row_bytes);
  wipe_and_free(layer->values, capacity * self->row_bytes);
  wipe_and_free(layer->clusters, capacity);
}

void
gem_kv_cache_free(GemKvCache *self)
{
  if (self == NULL) {
    return;
  }
  for (guint i = 0; i < self->shape.layers; i++) {
    clear_layer(self, &self->layers[i], self->capacity);
  }
  g_free(self->layers);
  g_free(self);
}

/* FALSE: no memory; what was allocated is in `layer`. */
static gboolean
allocate_layer(const GemKvCache *self, Layer *layer, guint capacity)
{
  layer->keys = g_try_malloc_n(capacity, self->row_bytes);
  layer->values = g_try_malloc_n(capacity, self->row_bytes);
  layer->clusters = self->shape.clusters ? g_try_malloc(capacity) : NULL;
  return layer->keys != NULL && layer->values != NULL && (layer->clusters != NULL || !self->shape.clusters);
}

static void
copy_layer(const GemKvCache *self, Layer *to, const Layer *from)
{
  if (self->capacity == 0) {
    return;
  }
  memcpy(to->keys, from->keys, self->capacity * self->row_bytes);
  memcpy(to->values, from->values, self->capacity * self->row_bytes);
  if (self->shape.clusters) {
    memcpy(to->clusters, from->clusters, self->capacity);
  }
}

gboolean
gem_kv_cache_reserve(GemKvCache *self, guint rows, GError **error)
{
  g_autofree Layer *grown = NULL;
  gboolean enough = TRUE;
  guint capacity;

  g_assert(rows <= self->shape.limit);
  if (rows <= self->capacity) {
    return TRUE;
  }
  /* Doubling keeps the copying linear in the rows. */
  capacity = MIN(self->shape.limit, MAX(MAX(rows, GROWTH_ROWS), 2 * self->capacity));
  grown = g_new0(Layer, self->shape.layers);
  for (guint i = 0; i < self->shape.layers && enough; i++) {
    enough = allocate_layer(self, &grown[i], capacity);
  }
  for (guint i = 0; i < self->shape.layers; i++) {
    if (enough) {
      copy_layer(self, &grown[i], &self->layers[i]);
      clear_layer(self, &self->layers[i], self->capacity);
      self->layers[i] = grown[i];
    } else {
      g_free(grown[i].keys);
      g_free(grown[i].values);
      g_free(grown[i].clusters);
    }
  }
  if (!enough) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for a key-value cache of %u rows", capacity);
    return FALSE;
  }
  self->capacity = capacity;
  return TRUE;
}

static void
store_rows(const GemKvCache *self, guint8 *to, const float *values, guint n)
{
  for (gsize i = 0; i < (gsize)n * self->shape.kv_heads; i++) {
    gem_quantize_row(self->type, values + i * self->shape.head_dim, to + i * self->head_bytes,
                     self->shape.head_dim);
  }
}

void
gem_kv_cache_store(
    GemKvCache *self, guint layer, guint first, guint n, const float *keys, const float *values)
{
  g_assert(layer < self->shape.layers && first + n <= self->capacity);
  store_rows(self, self->layers[layer].keys + first * self->row_bytes, keys, n);
  store_rows(self, self->layers[layer].values + first * self->row_bytes, values, n);
}

static GemKeyValueRows
rows_of(const GemKvCache *self, const guint8 *data)
{
  return (GemKeyValueRows){
      .type = self->type, .data = data, .row_bytes = self->row_bytes, .head_bytes = self->head_bytes};
}

GemKeyValueRows
gem_kv_cache_keys(GemKvCache *self, guint layer)
{
  return rows_of(self, self->layers[layer].keys);
}

GemKeyValueRows
gem_kv_cache_values(GemKvCache *self, guint layer)
{
  return rows_of(self, self->layers[layer].values);
}

guint8 *
gem_kv_cache_clusters(GemKvCache *self, guint layer)
{
  return self->layers[layer].clusters;
}

gsize
gem_kv_cache_bytes(GemKvCache *self)
{
  gsize row = 2 * self->row_bytes + (self->shape.clusters ? 1 : 0);

  return row * self->capacity * self->shape.layers;
}
