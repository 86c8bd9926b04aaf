/* The key-value cache: rows come back from the list in order and from those of their clusters, however it
 * grew, went back and grew again. */
#include <math.h>

#include "daemon/engine/gem-kv-cache.h"
#include "dbus/gem-error.h"
#include "kernels/gem-kv.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-kv.h"

enum { LAYERS = 2, KV_HEADS = 3, HEAD_DIM = 20, ROW = KV_HEADS * HEAD_DIM, LIMIT = 300, CLUSTERS = 5 };

/* Half a step of 1 / 127 of the largest value, with a scale of 8 bits. */
#define TOLERANCE      (3.0 / 127 / 2 * 1.01)
#define HALF_TOLERANCE 0.002

typedef struct {
  GemTestBackend *backend;
  GemKvCache *cache;
  GemKvCacheShape shape;
  guint salt; /* of what is stored next */
} Scene;

static void
set_tile_bytes(GemKvCacheShape *shape)
{
  shape->tile_bytes = shape->backend->functions->kv_tile_bytes(shape->backend->state, &shape->form);
}

static gboolean successors; /* of the scenes that are made from now on */

static void
scene_init(Scene *self, gboolean half, guint clusters, guint window)
{
  *self = (Scene){.backend = gem_test_backend_open()};
  self->shape = (GemKvCacheShape){
      .backend = &self->backend->backend,
      .layers = LAYERS,
      .form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = half},
      .limit = LIMIT,
      .clusters = clusters,
      .window = window,
      .successors = successors,
  };
  set_tile_bytes(&self->shape);
  self->cache = gem_kv_cache_new(&self->shape);
}

static void
scene_clear(Scene *self)
{
  gem_kv_cache_free(self->cache);
  gem_test_backend_close(self->backend);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

/* What belongs to a place; keys and values differ in sign. */
static float
value_at(guint salt, guint layer, guint position, guint column)
{
  return sinf((float)(salt * 977 + layer * 7919 + position * 31 + column)) * 3;
}

static guint8
cluster_at(const Scene *self, guint salt, guint layer, guint position)
{
  /* Some clusters are rare, and each has runs. */
  return (guint8)((salt + layer + position / 3 * position / 7) % self->shape.clusters);
}

static void
store_range(Scene *self, guint first, guint n)
{
  g_autofree float *keys = g_new(float, n *ROW);
  g_autofree float *values = g_new(float, n *ROW);
  g_autofree guint8 *clusters = g_new(guint8, n);

  g_assert_true(gem_kv_cache_reserve(self->cache, first, n, NULL));
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (guint i = 0; i < n * ROW; i++) {
      keys[i] = value_at(self->salt, layer, first + i / ROW, i % ROW);
      values[i] = -keys[i];
    }
    for (guint i = 0; i < n && self->shape.clusters > 0; i++) {
      clusters[i] = cluster_at(self, self->salt, layer, first + i);
    }
    gem_test_kv_store(self->cache, layer, first, n, keys, values, self->shape.clusters > 0 ? clusters : NULL);
  }
}

static void
check_member(
    const Scene *self, const GemKeyValueList *list, guint member, guint salt, guint layer, guint position)
{
  GemKvForm form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = self->shape.form.half};
  double tolerance = form.half ? HALF_TOLERANCE : TOLERANCE;
  float keys[ROW], values[ROW];

  g_assert_cmpuint(member / GEM_KEY_VALUE_TILE, >=, list->first_tile);
  gem_kv_read(&form, list->tiles[member / GEM_KEY_VALUE_TILE - list->first_tile], member % GEM_KEY_VALUE_TILE,
              keys, values);
  for (guint i = 0; i < ROW; i++) {
    g_assert_cmpfloat_with_epsilon(keys[i], value_at(salt, layer, position, i), tolerance);
    g_assert_cmpfloat_with_epsilon(values[i], -value_at(salt, layer, position, i), tolerance);
  }
}

/* That of the row before; rows before `changed` have salt 0. */
static guint
cluster_before(const Scene *self, guint changed, guint layer, guint position)
{
  return cluster_at(self, position - 1 < changed ? 0 : self->salt, layer, position - 1);
}

/* n rows are there: those before `changed` with salt 0, the others with the scene's. */
static void
check_layer(const Scene *self, guint layer, guint n, guint changed)
{
  GemAttentionSpan span = gem_kv_cache_get_span(self->cache, layer, 1);
  guint counts[CLUSTERS] = {0};

  g_assert_cmpuint(span.first + span.n, ==, n);
  g_assert_cmpuint(span.n_clusters, ==, self->shape.clusters);
  for (guint position = 0; position < n; position++) {
    guint salt = position < changed ? 0 : self->salt;

    if (self->shape.window == G_MAXUINT || position + self->shape.window >= n) {
      check_member(self, &span.in_order, position, salt, layer, position);
    }
    if (self->shape.clusters > 0) {
      guint cluster = cluster_at(self, salt, layer, position);

      g_assert_cmpuint(span.clusters[position], ==, cluster);
      guint of =
          position == 0 || !self->shape.successors ? cluster : cluster_before(self, changed, layer, position);
      check_member(self, &span.lists[of], counts[of]++, salt, layer, position);
    }
  }
  for (guint c = 0; c < self->shape.clusters; c++) {
    g_assert_cmpuint(span.lists[c].count, ==, counts[c]);
  }
}

static void
check_all(const Scene *self, guint n, guint changed)
{
  for (guint layer = 0; layer < LAYERS; layer++) {
    check_layer(self, layer, n, changed);
  }
}

static const guint windows[] = {0, 1, 2, 16, 17, 40, LIMIT, G_MAXUINT};

/* Also after the cache has grown under them. */
static void
test_store(gconstpointer half)
{
  for (gsize w = 0; w < G_N_ELEMENTS(windows); w++) {
    g_auto(Scene) scene = {0};

    scene_init(&scene, GPOINTER_TO_INT(half), windows[w] == G_MAXUINT ? 0 : CLUSTERS, windows[w]);
    store_range(&scene, 0, 5);
    check_all(&scene, 5, LIMIT);
    store_range(&scene, 5, 1);
    store_range(&scene, 6, 200);
    check_all(&scene, 206, LIMIT);
    for (guint i = 206; i < 240; i++) {
      store_range(&scene, i, 1);
    }
    check_all(&scene, 240, LIMIT);
    store_range(&scene, 240, LIMIT - 240);
    check_all(&scene, LIMIT, LIMIT);
  }
}

/* Back to any length, and on with other rows: what was before is there, what came after is not. */
static void
test_go_back(void)
{
  for (gsize w = 0; w < G_N_ELEMENTS(windows); w++) {
    for (guint back = 0; back < 130; back += back < 40 ? 1 : 7) {
      g_auto(Scene) scene = {0};

      scene_init(&scene, FALSE, CLUSTERS, windows[w]);
      store_range(&scene, 0, 100);
      store_range(&scene, 100, 31);
      scene.salt = 1;
      store_range(&scene, back, 1);
      check_all(&scene, back + 1, back);
      store_range(&scene, back + 1, 60);
      check_all(&scene, back + 61, back);
      store_range(&scene, back / 2, 1);
      check_all(&scene, back / 2 + 1, back / 2);
    }
  }
}

/* A step that failed in the middle leaves layers of different lengths; the next one finds its way. */
static void
test_uneven_layers(void)
{
  g_auto(Scene) scene = {0};
  const float zeros[3 * ROW] = {0};
  const guint8 clusters[3] = {0, 1, 2};

  scene_init(&scene, FALSE, CLUSTERS, 4);
  store_range(&scene, 0, 50);
  g_assert_true(gem_kv_cache_reserve(scene.cache, 50, 3, NULL));
  gem_test_kv_store(scene.cache, 0, 50, 3, zeros, zeros, clusters);
  store_range(&scene, 50, 40);
  check_all(&scene, 90, LIMIT);
}

/* Cleared, it takes no memory, and is filled again as if it were new. */
static void
test_clear(void)
{
  for (gsize w = 0; w < G_N_ELEMENTS(windows); w++) {
    g_auto(Scene) scene = {0};

    scene_init(&scene, FALSE, windows[w] == G_MAXUINT ? 0 : CLUSTERS, windows[w]);
    gem_kv_cache_clear(scene.cache);
    store_range(&scene, 0, 150);
    gem_kv_cache_clear(scene.cache);
    g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), ==, 0);
    scene.salt = 1;
    store_range(&scene, 0, 70);
    store_range(&scene, 70, 1);
    check_all(&scene, 71, 0);
  }
}

/* No more than half again of what rows take, and none that grow with the steps. */
static void
test_bytes(void)
{
  GemKvForm form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM};
  gsize all_rows = LAYERS * ((LIMIT + 15) / 16) * gem_kv_tile_bytes(&form);
  g_auto(Scene) scene = {0};
  gsize before;

  scene_init(&scene, FALSE, 0, G_MAXUINT);
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), ==, 0);
  g_assert_true(gem_kv_cache_reserve(scene.cache, 0, 1, NULL));
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), >=, LAYERS * 4 * gem_kv_tile_bytes(&form));
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), <, all_rows / 2);
  store_range(&scene, 0, 100);
  g_assert_true(gem_kv_cache_reserve(scene.cache, 100, LIMIT - 100, NULL));
  before = gem_kv_cache_bytes(scene.cache);
  g_assert_cmpuint(before, >=, all_rows);
  g_assert_cmpuint(before, <, all_rows * 3 / 2);
  for (guint i = 100; i < LIMIT; i++) {
    store_range(&scene, i, 1);
  }
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), ==, before);
}

/* With clusters: at most a tile a cluster, and the window, beside them. */
static void
test_bytes_of_clusters(void)
{
  GemKvForm form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM};
  gsize tiles = LIMIT / 16 + CLUSTERS + (3 + 10) / 16 + 2;
  g_auto(Scene) scene = {0};

  scene_init(&scene, FALSE, CLUSTERS, 4);
  for (guint i = 0; i < LIMIT; i += 10) {
    store_range(&scene, i, 10);
  }
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), >=, LAYERS * tiles * gem_kv_tile_bytes(&form));
  g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), <, LAYERS * (tiles * gem_kv_tile_bytes(&form) + 2000));
}

/* Whatever the steps by which it grows, it never takes more than was said before. */
static void
test_most_bytes(void)
{
  static const guint blocks[] = {1, 10, 31};

  for (gsize i = 0; i < G_N_ELEMENTS(blocks) * 2; i++) {
    guint block = blocks[i / 2];
    g_auto(Scene) scene = {0};

    scene_init(&scene, FALSE, i % 2 ? CLUSTERS : 0, i % 2 ? 4 : G_MAXUINT);
    for (guint rows = block; rows <= LIMIT; rows += block) {
      guint64 most = gem_kv_cache_most_bytes(scene.cache, rows, block);

      g_assert_true(gem_kv_cache_reserve(scene.cache, rows - block, block, NULL));
      g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), <=, most);
      /* Not three times what it is, either, once there is more than the least. */
      g_assert_cmpuint(most, <, 3 * gem_kv_cache_bytes(scene.cache));
    }
  }
}

/* Lean, it takes what is said before, tile by tile, and holds the same. */
static void
test_lean(void)
{
  for (guint i = 0; i < 2; i++) {
    g_auto(Scene) scene = {0};
    g_autoptr(GemKvCache) usual = NULL;

    scene_init(&scene, FALSE, i == 0 ? 0 : CLUSTERS, i == 0 ? G_MAXUINT : 4);
    usual = gem_kv_cache_new(&scene.shape);
    gem_kv_cache_set_lean(scene.cache, TRUE);
    for (guint row = 0; row < 130; row++) {
      gsize before = gem_kv_cache_bytes(scene.cache);
      gsize growth = gem_kv_cache_get_growth(scene.cache, row, 1);

      store_range(&scene, row, 1);
      g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), ==, before + growth);
      g_assert_true((growth > 0) == (row % GEM_KEY_VALUE_TILE == 0));
    }
    check_all(&scene, 130, LIMIT);
    g_assert_true(gem_kv_cache_reserve(usual, 0, 129, NULL));
    g_assert_true(gem_kv_cache_reserve(usual, 129, 1, NULL));
    g_assert_cmpuint(gem_kv_cache_bytes(scene.cache), <, gem_kv_cache_bytes(usual));
  }
}

/* More than any memory, by its very number of bytes: an error, and nothing has changed. */
static void
test_no_memory(void)
{
  g_auto(Scene) scene = {0};
  g_autoptr(GemKvCache) cache = NULL;
  g_autoptr(GError) error = NULL;

  scene_init(&scene, FALSE, 0, G_MAXUINT);
  scene.shape.form = (GemKeyValueForm){.kv_heads = 1u << 16, .head_dim = 1u << 12};
  scene.shape.limit = G_MAXINT;
  set_tile_bytes(&scene.shape);
  cache = gem_kv_cache_new(&scene.shape);
  g_assert_false(gem_kv_cache_reserve(cache, 0, G_MAXINT, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, 0);
}

/* The same where a row is on the list of the cluster before it. */
static void
test_successors(void)
{
  successors = TRUE;
  test_store(GINT_TO_POINTER(FALSE));
  test_go_back();
  test_uneven_layers();
  successors = FALSE;
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/kv-cache/store/levels", GINT_TO_POINTER(FALSE), test_store);
  g_test_add_data_func("/kv-cache/store/half", GINT_TO_POINTER(TRUE), test_store);
  g_test_add_func("/kv-cache/go-back", test_go_back);
  g_test_add_func("/kv-cache/uneven-layers", test_uneven_layers);
  g_test_add_func("/kv-cache/successors", test_successors);
  g_test_add_func("/kv-cache/clear", test_clear);
  g_test_add_func("/kv-cache/most-bytes", test_most_bytes);
  g_test_add_func("/kv-cache/bytes", test_bytes);
  g_test_add_func("/kv-cache/bytes-of-clusters", test_bytes_of_clusters);
  g_test_add_func("/kv-cache/lean", test_lean);
  g_test_add_func("/kv-cache/no-memory", test_no_memory);
  return g_test_run();
}
