#include <math.h>

#include "daemon/engine/gem-kv-cache.h"
#include "dbus/gem-error.h"
#include "kernels/gem-types.h"

enum { LAYERS = 2, KV_HEADS = 3, HEAD_DIM = 32, ROW = KV_HEADS * HEAD_DIM, LIMIT = 300 };

static GemKvCache *
new_cache(gboolean half, gboolean clusters)
{
  GemKvCacheShape shape = {.layers = LAYERS,
                           .kv_heads = KV_HEADS,
                           .head_dim = HEAD_DIM,
                           .limit = LIMIT,
                           .half = half,
                           .clusters = clusters};

  return gem_kv_cache_new(&shape);
}

/* The value that belongs to a place; keys and values differ in sign. */
static float
value_at(guint layer, guint position, guint column)
{
  return sinf((float)(layer * 7919 + position * 31 + column)) * 3;
}

static void
store_range(GemKvCache *cache, guint first, guint n)
{
  g_autofree float *keys = g_new(float, n *ROW);
  g_autofree float *values = g_new(float, n *ROW);

  g_assert_true(gem_kv_cache_reserve(cache, first + n, NULL));
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (guint i = 0; i < n * ROW; i++) {
      keys[i] = value_at(layer, first + i / ROW, i % ROW);
      values[i] = -keys[i];
    }
    gem_kv_cache_store(cache, layer, first, n, keys, values);
    for (guint i = 0; i < n && gem_kv_cache_clusters(cache, layer) != NULL; i++) {
      gem_kv_cache_clusters(cache, layer)[first + i] = (guint8)(layer + first + i);
    }
  }
}

static void
check_rows(const GemKeyValueRows *rows, guint layer, guint n, float sign, float tolerance)
{
  float head[HEAD_DIM];

  for (guint position = 0; position < n; position++) {
    for (guint h = 0; h < KV_HEADS; h++) {
      gem_dequantize_row(rows->type, rows->data + position * rows->row_bytes + h * rows->head_bytes, head,
                         HEAD_DIM);
      for (guint i = 0; i < HEAD_DIM; i++) {
        g_assert_cmpfloat_with_epsilon(head[i], sign * value_at(layer, position, h * HEAD_DIM + i),
                                       tolerance);
      }
    }
  }
}

static void
check_all(GemKvCache *cache, guint n, float tolerance)
{
  for (guint layer = 0; layer < LAYERS; layer++) {
    GemKeyValueRows keys = gem_kv_cache_keys(cache, layer);
    GemKeyValueRows values = gem_kv_cache_values(cache, layer);

    check_rows(&keys, layer, n, 1, tolerance);
    check_rows(&values, layer, n, -1, tolerance);
    for (guint i = 0; i < n && gem_kv_cache_clusters(cache, layer) != NULL; i++) {
      g_assert_cmpuint(gem_kv_cache_clusters(cache, layer)[i], ==, (guint8)(layer + i));
    }
  }
}

/* Rows come back within the rounding of their type, also after the cache has grown under them. */
static void
test_store(gconstpointer half)
{
  gboolean is_half = GPOINTER_TO_INT(half);
  float tolerance = is_half ? 0.002F : 3.0F / 127;
  g_autoptr(GemKvCache) cache = new_cache(is_half, TRUE);

  store_range(cache, 0, 5);
  check_all(cache, 5, tolerance);
  store_range(cache, 5, 1);
  store_range(cache, 6, 200);
  store_range(cache, 206, LIMIT - 206);
  check_all(cache, LIMIT, tolerance);
  g_assert_cmpuint(gem_kv_cache_keys(cache, 0).type, ==, is_half ? GEM_TYPE_F16 : GEM_TYPE_Q8_0);
}

/* A position that is stored again holds the new row. */
static void
test_overwrite(void)
{
  g_autoptr(GemKvCache) cache = new_cache(FALSE, TRUE);
  g_autofree float *zeros = g_new0(float, ROW);

  store_range(cache, 0, 10);
  gem_kv_cache_store(cache, 0, 4, 1, zeros, zeros);
  store_range(cache, 4, 6);
  check_all(cache, 10, 3.0F / 127);
}

static void
test_bytes(void)
{
  g_autoptr(GemKvCache) cache = new_cache(FALSE, TRUE);
  g_autoptr(GemKvCache) plain = new_cache(FALSE, FALSE);
  gsize row = 2 * KV_HEADS * 34;

  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, 0);
  g_assert_true(gem_kv_cache_reserve(cache, 1, NULL));
  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, LAYERS * 64 * (row + 1));
  g_assert_true(gem_kv_cache_reserve(cache, 65, NULL));
  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, LAYERS * 128 * (row + 1));
  g_assert_true(gem_kv_cache_reserve(cache, LIMIT, NULL));
  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, LAYERS * LIMIT * (row + 1));
  g_assert_true(gem_kv_cache_reserve(plain, LIMIT, NULL));
  g_assert_cmpuint(gem_kv_cache_bytes(plain), ==, LAYERS * LIMIT * row);
  g_assert_null(gem_kv_cache_clusters(plain, 0));
}

/* Heads that no Q8_0 block fits are kept in halves. */
static void
test_odd_heads(void)
{
  GemKvCacheShape shape = {.layers = 1, .kv_heads = 2, .head_dim = 16, .limit = 8};
  g_autoptr(GemKvCache) cache = gem_kv_cache_new(&shape);

  g_assert_true(gem_kv_cache_reserve(cache, 8, NULL));
  g_assert_cmpuint(gem_kv_cache_keys(cache, 0).type, ==, GEM_TYPE_F16);
  g_assert_cmpuint(gem_kv_cache_keys(cache, 0).head_bytes, ==, 32);
}

/* More than any memory, by its very number of bytes: an error, and nothing has changed. */
static void
test_no_memory(void)
{
  GemKvCacheShape shape = {.layers = LAYERS, .kv_heads = 1u << 16, .head_dim = 1u << 20, .limit = G_MAXINT};
  g_autoptr(GemKvCache) cache = gem_kv_cache_new(&shape);
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_kv_cache_reserve(cache, G_MAXINT, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  g_assert_cmpuint(gem_kv_cache_bytes(cache), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/kv-cache/store/q8", GINT_TO_POINTER(FALSE), test_store);
  g_test_add_data_func("/kv-cache/store/half", GINT_TO_POINTER(TRUE), test_store);
  g_test_add_func("/kv-cache/overwrite", test_overwrite);
  g_test_add_func("/kv-cache/bytes", test_bytes);
  g_test_add_func("/kv-cache/odd-heads", test_odd_heads);
  g_test_add_func("/kv-cache/no-memory", test_no_memory);
  return g_test_run();
}
