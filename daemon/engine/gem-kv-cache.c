#include "daemon/engine/gem-kv-cache.h"

#include <string.h>

#include "daemon/engine/gem-kv-pool.h"
#include "dbus/gem-error.h"

/* Room is made for at least this many rows at a time. */
#define GROWTH_ROWS 64u

#define TILE GEM_KEY_VALUE_TILE

/* A list's tiles stand in an array of the layer by their number, so that those of a window are where they
 * would be if all were kept. */
typedef struct {
  guint rows;       /* stored */
  guint capacity;   /* rows that `tiles` and `clusters` have room for */
  guint8 *clusters; /* [capacity]; NULL without clusters */
  guint8 **tiles;   /* [1 + shape.clusters][stride_of(capacity)]: of the list in order, and of each cluster */
  GemKeyValueList in_order; /* views of them */
  GemKeyValueList *lists;   /* [shape.clusters] */
} Layer;

struct GemKvCache {
  GemKvCacheShape shape;
  GemKvPool *pool;
  guint capacity; /* rows that there is room for */
  guint block;    /* rows that may be stored at once */
  gboolean lean;
  Layer *layers;
};

GemKvCache *
gem_kv_cache_new(const GemKvCacheShape *shape)
{
  GemKvCache *self = g_new0(GemKvCache, 1);

  self->shape = *shape;
  self->shape.window = MAX(shape->window, 1);
  self->pool = gem_kv_pool_new(shape->tile_bytes);
  self->layers = g_new0(Layer, shape->layers);
  for (guint i = 0; i < shape->layers; i++) {
    self->layers[i].lists = g_new0(GemKeyValueList, shape->clusters);
  }
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

void
gem_kv_cache_clear(GemKvCache *self)
{
  for (guint i = 0; i < self->shape.layers; i++) {
    Layer *layer = &self->layers[i];
    GemKeyValueList *lists = layer->lists;

    wipe_and_free(layer->clusters, layer->capacity);
    g_free(layer->tiles);
    for (guint c = 0; c < self->shape.clusters; c++) {
      lists[c] = (GemKeyValueList){0};
    }
    *layer = (Layer){.lists = lists};
  }
  gem_kv_pool_clear(self->pool);
  self->capacity = 0;
  self->block = 0;
}

void
gem_kv_cache_free(GemKvCache *self)
{
  if (self == NULL) {
    return;
  }
  gem_kv_cache_clear(self);
  for (guint i = 0; i < self->shape.layers; i++) {
    g_free(self->layers[i].lists);
  }
  g_free(self->layers);
  gem_kv_pool_free(self->pool);
  g_free(self);
}

/* ---- room ---- */

static gsize
tiles_of(gsize rows)
{
  return (rows + TILE - 1) / TILE;
}

/* Tiles that a layer of `rows` rows may need while it takes `block` rows at once: the window and the block,
 * which begin anywhere in a tile, and the clusters' lists, each of which ends anywhere in one. */
static gsize
most_tiles(const GemKvCacheShape *shape, gsize rows, gsize block)
{
  gsize in_order = tiles_of(rows);
  gsize lists = shape->clusters == 0 ? 0 : rows / TILE + MIN(shape->clusters, rows);

  if (shape->window != G_MAXUINT) {
    in_order = MIN(in_order, (shape->window - 1 + block) / TILE + 2);
  }
  return in_order + lists;
}

static gsize
stride_of(guint capacity)
{
  return tiles_of(capacity);
}

/* Of the list in order (0) or of a cluster (1 + c). */
static guint8 **
tiles_in(const Layer *layer, guint list)
{
  return layer->tiles + list * stride_of(layer->capacity);
}

static void
update_views(const GemKvCache *self, Layer *layer)
{
  layer->in_order.count = layer->rows;
  layer->in_order.tiles = (const guint8 *const *)(tiles_in(layer, 0) + layer->in_order.first_tile);
  for (guint c = 0; c < self->shape.clusters; c++) {
    layer->lists[c].tiles = (const guint8 *const *)tiles_in(layer, 1 + c);
  }
}

static gboolean
grow_layer(const GemKvCache *self, Layer *layer, guint capacity)
{
  gsize lists = 1 + (gsize)self->shape.clusters;
  gsize stride = stride_of(capacity);
  g_autofree guint8 **tiles = NULL;
  guint8 *clusters = NULL;

  if (capacity <= layer->capacity) {
    return TRUE;
  }
  tiles = g_try_malloc_n(lists * stride, sizeof *tiles);
  if (tiles == NULL) {
    return FALSE;
  }
  if (self->shape.clusters > 0) {
    clusters = g_try_malloc(capacity);
    if (clusters == NULL) {
      return FALSE;
    }
  }
  if (layer->capacity > 0) {
    for (guint list = 0; list < lists; list++) {
      memcpy(tiles + list * stride, tiles_in(layer, list), stride_of(layer->capacity) * sizeof *tiles);
    }
    if (clusters != NULL) {
      memcpy(clusters, layer->clusters, layer->rows);
    }
  }
  wipe_and_free(layer->clusters, layer->capacity);
  g_free(layer->tiles);
  layer->clusters = clusters;
  layer->tiles = g_steal_pointer(&tiles);
  layer->capacity = capacity;
  update_views(self, layer);
  return TRUE;
}

/* Rows that there is room for when `rows` are needed. Doubling keeps the copying linear in them; whole tiles
 * are the least that memory is taken for. */
static guint
grown_capacity(const GemKvCache *self, guint rows)
{
  if (rows <= self->capacity) {
    return self->capacity;
  }
  if (self->lean) {
    return (guint)MIN(self->shape.limit, tiles_of(rows) * TILE);
  }
  return MIN(self->shape.limit, MAX(MAX(rows, GROWTH_ROWS), 2 * self->capacity));
}

void
gem_kv_cache_set_lean(GemKvCache *self, gboolean lean)
{
  self->lean = lean;
}

/* What one part gets and another does not, stays with it for the next try. */
static gboolean
grow(GemKvCache *self, guint rows, guint block)
{
  guint capacity = grown_capacity(self, rows);
  gsize tiles = most_tiles(&self->shape, capacity, MAX(block, self->block));

  if (tiles > G_MAXSIZE / self->shape.layers ||
      !gem_kv_pool_reserve(self->pool, self->shape.layers * tiles)) {
    return FALSE;
  }
  self->block = MAX(block, self->block);
  for (guint i = 0; i < self->shape.layers; i++) {
    if (!grow_layer(self, &self->layers[i], capacity)) {
      return FALSE;
    }
  }
  self->capacity = capacity;
  return TRUE;
}

/* The list that a row is on, whose own cluster and that of the row before it are known. */
static guint
list_of_row(const GemKvCache *self, const Layer *layer, guint row)
{
  return gem_list_of_position(layer->clusters, row, self->shape.successors);
}

/* ---- going back ---- */

/* Takes the rows from `first` on off the clusters' lists. */
static void
shorten_lists(GemKvCache *self, Layer *layer, guint first)
{
  if (self->shape.clusters == 0) {
    return;
  }
  for (guint row = layer->rows; row > first; row--) {
    guint of = list_of_row(self, layer, row - 1);
    GemKeyValueList *list = &layer->lists[of];

    list->count--;
    if (list->count % TILE == 0) {
      gem_kv_pool_give(self->pool, tiles_in(layer, 1 + of)[list->count / TILE]);
    }
  }
}

/* Gives up the tiles from..to - 1 of the list in order. */
static void
give_in_order(GemKvCache *self, Layer *layer, gsize from, gsize to)
{
  for (gsize tile = from; tile < to; tile++) {
    gem_kv_pool_give(self->pool, tiles_in(layer, 0)[tile]);
  }
}

/* The first position that a row at `first` looks for in the list in order. */
static guint
window_start(const GemKvCache *self, guint first)
{
  return first >= self->shape.window ? first + 1 - self->shape.window : 0;
}

/* Fills the list in order from tile `first_tile` on to where its tiles are there, out of the clusters' lists;
 * rows before `first` are stored. */
static void
restore_window(GemKvCache *self, Layer *layer, guint first_tile, guint first)
{
  const GemBackend *backend = self->shape.backend;
  gsize missing = MIN(layer->in_order.first_tile * TILE, first);
  guint members[G_MAXUINT8 + 1];

  for (gsize tile = first_tile; tile < tiles_of(missing); tile++) {
    tiles_in(layer, 0)[tile] = gem_kv_pool_take(self->pool);
  }
  for (guint c = 0; c < self->shape.clusters; c++) {
    members[c] = layer->lists[c].count;
  }
  for (guint row = first; row > first_tile * TILE; row--) {
    guint of = list_of_row(self, layer, row - 1), member = --members[of];

    if (row <= missing) {
      backend->functions->kv_copy(backend->state, &self->shape.form, tiles_in(layer, 1 + of)[member / TILE],
                                  member % TILE, tiles_in(layer, 0)[(row - 1) / TILE], (row - 1) % TILE);
    }
  }
  layer->in_order.first_tile = first_tile;
}

static void
go_back(GemKvCache *self, Layer *layer, guint first)
{
  /* Whole tiles: going back again must not find half of one. */
  guint first_tile = window_start(self, first) / TILE;

  if (first >= layer->rows) {
    return;
  }
  shorten_lists(self, layer, first);
  give_in_order(self, layer, MAX(layer->in_order.first_tile, tiles_of(first)), tiles_of(layer->rows));
  if (first_tile < layer->in_order.first_tile) {
    restore_window(self, layer, first_tile, first);
  }
  layer->rows = first;
  update_views(self, layer);
}

gboolean
gem_kv_cache_reserve(GemKvCache *self, guint first, guint n, GError **error)
{
  g_assert(n <= self->shape.limit && first <= self->shape.limit - n);
  if (!grow(self, first + n, n)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for a key-value cache of %u rows", first + n);
    return FALSE;
  }
  for (guint i = 0; i < self->shape.layers; i++) {
    go_back(self, &self->layers[i], first);
  }
  return TRUE;
}

/* ---- rows ---- */

/* Where the next n rows go in the list in order; gives up the tiles before their window. */
static void
place_in_order(GemKvCache *self, Layer *layer, guint n, guint8 **tiles, guint8 *places)
{
  guint kept = window_start(self, layer->rows) / TILE;

  if (kept > layer->in_order.first_tile) {
    give_in_order(self, layer, layer->in_order.first_tile, MIN(kept, tiles_of(layer->rows)));
    layer->in_order.first_tile = kept;
  }
  for (guint i = 0; i < n; i++) {
    guint row = layer->rows + i;

    if (row % TILE == 0) {
      tiles_in(layer, 0)[row / TILE] = gem_kv_pool_take(self->pool);
    }
    tiles[i] = tiles_in(layer, 0)[row / TILE];
    places[i] = row % TILE;
  }
}

/* Where they go in the clusters' lists; their own clusters are known. */
static void
place_in_lists(GemKvCache *self, Layer *layer, guint n, guint8 **tiles, guint8 *places)
{
  for (guint i = 0; i < n; i++) {
    guint of = list_of_row(self, layer, layer->rows + i);
    guint member = layer->lists[of].count++;
    guint8 **list = tiles_in(layer, 1 + of);

    if (member % TILE == 0) {
      list[member / TILE] = gem_kv_pool_take(self->pool);
    }
    tiles[i] = list[member / TILE];
    places[i] = member % TILE;
  }
}

void
gem_kv_cache_place(GemKvCache *self,
                   guint layer_index,
                   guint first,
                   guint n,
                   const guint8 *clusters,
                   const GemKvPlaces *ret_places)
{
  Layer *layer = &self->layers[layer_index];

  g_assert(first == layer->rows && n <= self->block && first + n <= self->capacity);
  place_in_order(self, layer, n, ret_places->tiles, ret_places->places);
  if (self->shape.clusters > 0) {
    memcpy(layer->clusters + first, clusters, n);
    place_in_lists(self, layer, n, ret_places->list_tiles, ret_places->list_places);
  }
  layer->rows += n;
  update_views(self, layer);
}

void
gem_kv_cache_store(
    const GemKvCache *self, const GemKvPlaces *places, guint n, const float *keys, const float *values)
{
  const GemBackend *backend = self->shape.backend;
  const GemKeyValueForm *form = &self->shape.form;

  backend->functions->kv_store(backend->state, form, keys, values, n, places->tiles, places->places);
  if (self->shape.clusters > 0) {
    backend->functions->kv_store(backend->state, form, keys, values, n, places->list_tiles,
                                 places->list_places);
  }
}

const GemKeyValueForm *
gem_kv_cache_get_form(const GemKvCache *self)
{
  return &self->shape.form;
}

GemAttentionSpan
gem_kv_cache_get_span(const GemKvCache *self, guint layer_index, guint n)
{
  const Layer *layer = &self->layers[layer_index];

  g_assert(n <= layer->rows);
  return (GemAttentionSpan){
      .first = layer->rows - n,
      .n = n,
      .in_order = layer->in_order,
      .n_clusters = self->shape.clusters,
      .lists = layer->lists,
      .clusters = layer->clusters,
  };
}

/* Of the layers' lists of tiles, and of what tells a row's cluster. */
static guint64
bytes_of_lists(const GemKvCacheShape *shape, guint capacity)
{
  gsize lists = 1 + (gsize)shape->clusters;
  gsize row = shape->clusters > 0 ? 1 : 0;

  return (guint64)shape->layers * (lists * stride_of(capacity) * sizeof(guint8 *) + capacity * row);
}

guint64
gem_kv_cache_most_bytes(const GemKvCache *self, guint rows, guint block)
{
  const GemKvCacheShape *shape = &self->shape;
  /* What grow makes of a need that is one row more than there is room for. */
  guint capacity = MIN(shape->limit, MAX(GROWTH_ROWS, MIN(rows, shape->limit) * 2));
  guint64 tiles = shape->layers * most_tiles(shape, capacity, MIN(block, capacity));

  return tiles * gem_kv_pool_tile_bytes(self->pool) + bytes_of_lists(shape, capacity);
}

gsize
gem_kv_cache_bytes(const GemKvCache *self)
{
  return gem_kv_pool_bytes(self->pool) + bytes_of_lists(&self->shape, self->capacity);
}

gsize
gem_kv_cache_get_growth(const GemKvCache *self, guint first, guint n)
{
  guint capacity = grown_capacity(self, first + n);
  gsize tiles = self->shape.layers * most_tiles(&self->shape, capacity, MAX(n, self->block));

  return gem_kv_pool_get_growth(self->pool, tiles) + bytes_of_lists(&self->shape, capacity) -
         bytes_of_lists(&self->shape, self->capacity);
}
