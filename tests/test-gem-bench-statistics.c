/* The figures of gem-bench against values worked out by hand. */
#include <math.h>

#include "bench/gem-bench-progress.h"
#include "bench/gem-bench-statistics.h"

static void
test_accuracy(void)
{
  const guint targets[] = {0, 1, 2, 1}, predicted[] = {0, 1, 1, 1};

  g_assert_cmpfloat(gem_bench_accuracy(targets, predicted, 4), ==, 0.75);
  g_assert_cmpfloat(gem_bench_accuracy(targets, targets, 4), ==, 1.0);
  g_assert_true(isnan(gem_bench_accuracy(targets, predicted, 0)));
}

/* Class 0: tp 1, fn 1, F1 2/3. Class 1: tp 1, fp 2, F1 1/2. Class 2: never predicted, 0. */
static void
test_macro_f1(void)
{
  const guint targets[] = {0, 0, 1, 2}, predicted[] = {0, 1, 1, 1};

  g_assert_cmpfloat_with_epsilon(gem_bench_macro_f1(targets, predicted, 4), (2.0 / 3 + 0.5) / 3, 1e-12);
  g_assert_true(isnan(gem_bench_macro_f1(targets, predicted, 0)));
}

/* Classes that are neither a target nor predicted are no zeros in the mean; a class that was predicted and
 * never is a target is one. */
static void
test_macro_f1_classes(void)
{
  const guint targets[] = {5, 5}, right[] = {5, 5}, wrong[] = {5, 9};

  g_assert_cmpfloat(gem_bench_macro_f1(targets, right, 2), ==, 1.0);
  g_assert_cmpfloat_with_epsilon(gem_bench_macro_f1(targets, wrong, 2), (2.0 / 3 + 0) / 2, 1e-12);
}

static void
test_majority(void)
{
  const guint targets[] = {1, 1, 0, 1, 2};

  g_assert_cmpfloat_with_epsilon(gem_bench_majority(targets, 5), 0.6, 1e-12);
  g_assert_cmpfloat(gem_bench_majority(targets, 2), ==, 1.0);
  g_assert_true(isnan(gem_bench_majority(targets, 0)));
}

static void
test_standard_error(void)
{
  g_assert_cmpfloat_with_epsilon(gem_bench_standard_error(0.5, 100), 0.05, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_bench_standard_error(0.9, 225), 0.02, 1e-12);
  g_assert_cmpfloat(gem_bench_standard_error(1.0, 10), ==, 0.0);
}

static void
test_median(void)
{
  const double odd[] = {9, -1, 4}, even[] = {10, 1, 2, 5};

  g_assert_cmpfloat(gem_bench_median(odd, 3), ==, 4);
  g_assert_cmpfloat(gem_bench_median(even, 4), ==, 3.5);
  g_assert_cmpfloat(odd[0], ==, 9); /* left in its order */
  g_assert_true(isnan(gem_bench_median(odd, 0)));
}

static void
test_quantile(void)
{
  const double values[] = {5, 1, 4, 2, 3};

  g_assert_cmpfloat(gem_bench_quantile(values, 5, 0), ==, 1);
  g_assert_cmpfloat(gem_bench_quantile(values, 5, 0.5), ==, 3);
  g_assert_cmpfloat(gem_bench_quantile(values, 5, 0.8), ==, 4);
  g_assert_cmpfloat(gem_bench_quantile(values, 5, 0.81), ==, 5);
  g_assert_cmpfloat(gem_bench_quantile(values, 5, 1), ==, 5);
  g_assert_true(isnan(gem_bench_quantile(values, 0, 0.5)));
}

static void
test_spread(void)
{
  const double measured[] = {4, NAN, 1, INFINITY, 3};
  g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(double));
  GemBenchSpread none = gem_bench_spread(values), spread;

  g_array_append_vals(values, measured, G_N_ELEMENTS(measured));
  spread = gem_bench_spread(values);
  g_assert_true(isnan(none.min) && isnan(none.median) && isnan(none.max));
  g_assert_cmpfloat(spread.min, ==, 1);
  g_assert_cmpfloat(spread.median, ==, 3);
  g_assert_cmpfloat(spread.max, ==, 4);
}

static void
test_time_left(void)
{
  static const struct {
    double seconds;
    const char *text;
  } cases[] = {{4, "4 s"}, {89, "89 s"}, {90, "2 min"}, {720, "12 min"}, {9000, "2.5 h"}};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *text = gem_bench_progress_describe_seconds(cases[i].seconds);

    g_assert_cmpstr(text, ==, cases[i].text);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/statistics/accuracy", test_accuracy);
  g_test_add_func("/gem-bench/statistics/macro-f1", test_macro_f1);
  g_test_add_func("/gem-bench/statistics/macro-f1-classes", test_macro_f1_classes);
  g_test_add_func("/gem-bench/statistics/majority", test_majority);
  g_test_add_func("/gem-bench/statistics/standard-error", test_standard_error);
  g_test_add_func("/gem-bench/statistics/median", test_median);
  g_test_add_func("/gem-bench/statistics/quantile", test_quantile);
  g_test_add_func("/gem-bench/statistics/spread", test_spread);
  g_test_add_func("/gem-bench/statistics/time-left", test_time_left);
  return g_test_run();
}
