/* Tokens of the last seconds. */
#include "daemon/engine/gem-load.h"

#define SECOND (gint64) G_USEC_PER_SEC

static void
test_rate(void)
{
  GemLoad load = {0};

  g_assert_cmpfloat(gem_load_get_rate(&load, 100 * SECOND), ==, 0);
  /* The second that runs does not count yet. */
  gem_load_add(&load, 100 * SECOND, 30);
  gem_load_add(&load, 100 * SECOND + 999999, 20);
  g_assert_cmpfloat(gem_load_get_rate(&load, 100 * SECOND + 999999), ==, 0);
  g_assert_cmpfloat(gem_load_get_rate(&load, 101 * SECOND), ==, 5);
  gem_load_add(&load, 105 * SECOND, 100);
  g_assert_cmpfloat(gem_load_get_rate(&load, 110 * SECOND), ==, 15);
  g_assert_cmpfloat(gem_load_get_rate(&load, 111 * SECOND), ==, 10);
  g_assert_cmpfloat(gem_load_get_rate(&load, 116 * SECOND), ==, 0);
  g_assert_cmpuint(load.tokens, ==, 150);
}

/* A place that is used again has forgotten what it held. */
static void
test_wrap(void)
{
  GemLoad load = {0};

  for (gint64 second = 1; second <= 100; second++) {
    gem_load_add(&load, second * SECOND, 7);
    if (second > GEM_LOAD_SECONDS) {
      g_assert_cmpfloat(gem_load_get_rate(&load, second * SECOND), ==, 7);
    }
  }
  g_assert_cmpfloat(gem_load_get_rate(&load, 1000 * SECOND), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/load/rate", test_rate);
  g_test_add_func("/load/wrap", test_wrap);
  return g_test_run();
}
