#include <math.h>

#include "training/arithmetic/gem-dropout.h"

#define N     100000u
#define SHARE 0.3

static float *
dropped_new(double share, guint64 seed, guint place)
{
  GemDropout dropout = {share, seed};
  float *x = g_new(float, N);
  for (gsize i = 0; i < N; i++) {
    x[i] = 1.0f;
  }
  gem_dropout_apply(&dropout, place, x, N);
  return x;
}

/* The share of values that are dropped in one and kept in the other. */
static double
difference(const float *a, const float *b)
{
  gsize differing = 0;
  for (gsize i = 0; i < N; i++) {
    differing += (a[i] > 0.0f) != (b[i] > 0.0f);
  }
  return (double)differing / N;
}

static void
test_share(void)
{
  g_autofree float *x = dropped_new(SHARE, 1, 0);
  gsize dropped = 0, runs = 0;
  for (gsize i = 0; i < N; i++) {
    g_assert_true(x[i] == 0.0f || fabs((double)x[i] - 1.0 / (1.0 - SHARE)) < 1e-6);
    dropped += x[i] == 0.0f;
    runs += i > 0 && x[i] == 0.0f && x[i - 1] == 0.0f;
  }
  /* neighbours are dropped independently; five deviations are 0.0073 */
  g_assert_cmpfloat_with_epsilon((double)dropped / N, SHARE, 0.0073);
  g_assert_cmpfloat_with_epsilon((double)runs / N, SHARE * SHARE, 0.0073);
}

static void
test_same_and_others(void)
{
  g_autofree float *x = dropped_new(SHARE, 1, 0), *same = dropped_new(SHARE, 1, 0),
                   *seed = dropped_new(SHARE, 2, 0), *place = dropped_new(SHARE, 1, 1);
  g_assert_cmpfloat(difference(x, same), ==, 0.0);
  /* two that know nothing of each other differ in 2 SHARE (1 - SHARE) */
  g_assert_cmpfloat_with_epsilon(difference(x, seed), 0.42, 0.0078);
  g_assert_cmpfloat_with_epsilon(difference(x, place), 0.42, 0.0078);
  g_assert_cmpfloat_with_epsilon(difference(seed, place), 0.42, 0.0078);
}

static void
test_none(void)
{
  g_autofree float *x = dropped_new(0.0, 1, 0);
  for (gsize i = 0; i < N; i++) {
    g_assert_cmpfloat(x[i], ==, 1.0f);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/dropout/share", test_share);
  g_test_add_func("/dropout/same-and-others", test_same_and_others);
  g_test_add_func("/dropout/none", test_none);
  return g_test_run();
}
