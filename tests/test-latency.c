/* The histogram of times. */
#include "daemon/service/gem-latency.h"

static void
check_within(double value, double least)
{
  g_assert_cmpfloat(value, >=, least);
  g_assert_cmpfloat(value, <=, least * 1.1);
}

static void
test_shares(void)
{
  GemLatency latency = {0};

  g_assert_cmpfloat(gem_latency_get(&latency, 0.5), ==, 0);
  for (gint64 i = 1; i <= 1000; i++) {
    gem_latency_add(&latency, i * 1000);
  }
  check_within(gem_latency_get(&latency, 0.5), 0.5);
  check_within(gem_latency_get(&latency, 0.95), 0.95);
  check_within(gem_latency_get(&latency, 0.99), 0.99);
  check_within(gem_latency_get(&latency, 1), 1);
}

static void
test_one(void)
{
  GemLatency latency = {0};

  gem_latency_add(&latency, 1234567);
  check_within(gem_latency_get(&latency, 0.01), 1.234567);
  check_within(gem_latency_get(&latency, 1), 1.234567);
}

/* A clock that stood, or went back, and a time that is too long for the last part. */
static void
test_ends(void)
{
  GemLatency latency = {0};

  gem_latency_add(&latency, 0);
  gem_latency_add(&latency, -5);
  g_assert_cmpfloat(gem_latency_get(&latency, 1), <, 0.00001);
  gem_latency_add(&latency, G_MAXINT64);
  g_assert_cmpfloat(gem_latency_get(&latency, 1), >, 4000);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/latency/shares", test_shares);
  g_test_add_func("/latency/one", test_one);
  g_test_add_func("/latency/ends", test_ends);
  return g_test_run();
}
