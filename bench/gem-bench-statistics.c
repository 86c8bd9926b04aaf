#include "bench/gem-bench-statistics.h"

#include <math.h>
#include <stdlib.h>

static guint
largest(const guint *classes, gsize n, guint so_far)
{
  gsize i;

  for (i = 0; i < n; i++) {
    so_far = MAX(so_far, classes[i]);
  }
  return so_far;
}

double
gem_bench_accuracy(const guint *targets, const guint *predicted, gsize n)
{
  gsize i, right = 0;

  for (i = 0; i < n; i++) {
    right += targets[i] == predicted[i];
  }
  return n == 0 ? NAN : (double)right / (double)n;
}

double
gem_bench_macro_f1(const guint *targets, const guint *predicted, gsize n)
{
  guint n_classes = largest(predicted, n, largest(targets, n, 0)) + 1, present = 0, class;
  /* of each class: tp, and 2 tp + fp + fn, which is how often it stands in either list */
  g_autofree gsize *right = g_new0(gsize, n_classes);
  g_autofree gsize *stands = g_new0(gsize, n_classes);
  double sum = 0;
  gsize i;

  for (i = 0; i < n; i++) {
    stands[targets[i]]++;
    stands[predicted[i]]++;
    right[targets[i]] += targets[i] == predicted[i];
  }
  for (class = 0; class < n_classes; class ++) {
    if (stands[class] > 0) {
      present++;
      sum += 2.0 * (double)right[class] / (double)stands[class];
    }
  }
  return present == 0 ? NAN : sum / present;
}

double
gem_bench_majority(const guint *targets, gsize n)
{
  g_autofree gsize *counts = g_new0(gsize, (gsize)largest(targets, n, 0) + 1);
  gsize i, most = 0;

  for (i = 0; i < n; i++) {
    counts[targets[i]]++;
    most = MAX(most, counts[targets[i]]);
  }
  return n == 0 ? NAN : (double)most / (double)n;
}

double
gem_bench_standard_error(double p, gsize n)
{
  return n == 0 ? NAN : sqrt(p * (1.0 - p) / (double)n);
}

static int
compare_doubles(const void *a, const void *b)
{
  double left = *(const double *)a, right = *(const double *)b;

  return (left > right) - (left < right);
}

/* A sorted copy; NULL when n is 0. */
static double *
sort_values(const double *values, gsize n)
{
  double *sorted = g_memdup2(values, n * sizeof *values);

  if (n > 0) {
    qsort(sorted, n, sizeof *sorted, compare_doubles);
  }
  return sorted;
}

double
gem_bench_median(const double *values, gsize n)
{
  g_autofree double *sorted = sort_values(values, n);

  if (n == 0) {
    return NAN;
  }
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double
gem_bench_quantile(const double *values, gsize n, double p)
{
  g_autofree double *sorted = sort_values(values, n);
  double rank = ceil(p * (double)n);

  if (n == 0) {
    return NAN;
  }
  return sorted[rank < 1 ? 0 : MIN((gsize)rank, n) - 1];
}

GemBenchSpread
gem_bench_spread(const GArray *values)
{
  g_autofree double *finite = g_new(double, values->len);
  gsize i, n = 0;

  for (i = 0; i < values->len; i++) {
    double value = g_array_index(values, double, i);

    if (isfinite(value)) {
      finite[n++] = value;
    }
  }
  return (GemBenchSpread){
      .min = gem_bench_quantile(finite, n, 0),
      .median = gem_bench_median(finite, n),
      .max = gem_bench_quantile(finite, n, 1),
  };
}
