/* Figures of merit. Classes are small numbers from 0 on; `targets` and `predicted` have n entries each. Every
 * figure is NAN when n is 0. */
#pragma once

#include <glib.h>

/* Share of entries predicted right, 0 to 1. */
double
gem_bench_accuracy(const guint *targets, const guint *predicted, gsize n);

/* The mean over classes of F1 = 2 tp / (2 tp + fp + fn), over every class that is a target or was predicted.
 */
double
gem_bench_macro_f1(const guint *targets, const guint *predicted, gsize n);

/* Share of the most frequent target: the accuracy of always saying it. */
double
gem_bench_majority(const guint *targets, gsize n);

/* Standard error of a share `p` seen in n independent entries. */
double
gem_bench_standard_error(double p, gsize n);

/* The middle value, or the mean of the two in the middle. */
double
gem_bench_median(const double *values, gsize n);

/* The smallest value that at least a share `p`, 0 to 1, of the values does not exceed (nearest rank). */
double
gem_bench_quantile(const double *values, gsize n, double p);

/* Of figures that were measured several times. */
typedef struct {
  double min, median, max;
} GemBenchSpread;

/* Of an array of doubles; those that are no numbers are left out. */
GemBenchSpread
gem_bench_spread(const GArray *values);
