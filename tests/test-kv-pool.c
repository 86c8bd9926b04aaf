/* Tiles of a cache: each is handed out once at a time, and memory that no tile was taken from is not
 * touched. */
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/engine/gem-kv-pool.h"
#include "plugins/gem-plugin.h"

#define TILE_BYTES 4096u

static void
take_and_fill(GemKvPool *pool, guint8 **tiles, guint n)
{
  for (guint i = 0; i < n; i++) {
    tiles[i] = gem_kv_pool_take(pool);
    g_assert_cmpuint((guintptr)tiles[i] % GEM_KEY_VALUE_ALIGNMENT, ==, 0);
    memset(tiles[i], (gint)(i + 1), TILE_BYTES);
  }
}

/* Whatever came back, and however it grew meanwhile, nobody's tile is another's. */
static void
test_tiles(void)
{
  enum { FIRST = 5, ALL = 12 };
  g_autoptr(GemKvPool) pool = gem_kv_pool_new(TILE_BYTES);
  guint8 *tiles[ALL];

  g_assert_cmpuint(gem_kv_pool_bytes(pool), ==, 0);
  g_assert_true(gem_kv_pool_reserve(pool, FIRST));
  take_and_fill(pool, tiles, 3);
  gem_kv_pool_give(pool, tiles[1]);
  g_assert_true(gem_kv_pool_reserve(pool, 3));
  g_assert_cmpuint(gem_kv_pool_get_growth(pool, ALL), ==, (ALL - FIRST) * TILE_BYTES);
  g_assert_true(gem_kv_pool_reserve(pool, ALL));
  g_assert_cmpuint(gem_kv_pool_bytes(pool), ==, ALL * TILE_BYTES);
  gem_kv_pool_give(pool, tiles[2]);
  gem_kv_pool_give(pool, tiles[0]);
  take_and_fill(pool, tiles, ALL);
  for (guint i = 0; i < ALL; i++) {
    for (guint byte = 0; byte < TILE_BYTES; byte++) {
      g_assert_cmpuint(tiles[i][byte], ==, i + 1);
    }
  }
  gem_kv_pool_clear(pool);
  g_assert_cmpuint(gem_kv_pool_bytes(pool), ==, 0);
  g_assert_true(gem_kv_pool_reserve(pool, ALL));
  take_and_fill(pool, tiles, ALL);
}

/* The most that this process has had in memory so far, in KiB. */
static glong
peak_now(void)
{
  struct rusage usage;

  g_assert_cmpint(getrusage(RUSAGE_SELF, &usage), ==, 0);
  return usage.ru_maxrss;
}

/* A cache takes room for as many rows again as it holds: that costs no memory as long as there are none, also
 * not when the cache is wiped. */
static void
test_never_taken(void)
{
  enum { KIB = 256 << 10 };
  gsize tiles = KIB / (TILE_BYTES / 1024);
  g_autoptr(GemKvPool) pool = gem_kv_pool_new(TILE_BYTES);
  guint8 *taken[3];
  glong before = peak_now();

  g_assert_true(gem_kv_pool_reserve(pool, tiles));
  take_and_fill(pool, taken, G_N_ELEMENTS(taken));
  gem_kv_pool_give(pool, taken[0]);
  gem_kv_pool_clear(pool);
  /* A sanitizer's own notes are an eighth. */
  g_assert_cmpint(peak_now() - before, <, KIB / 4);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  /* Test runners have malloc write into all that it hands out. */
  mallopt(M_PERTURB, 0);
  g_test_add_func("/kv-pool/tiles", test_tiles);
  g_test_add_func("/kv-pool/never-taken", test_never_taken);
  return g_test_run();
}
