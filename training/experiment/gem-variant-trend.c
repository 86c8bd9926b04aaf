#include "training/experiment/gem-variant-trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"

static void
rank(const double *values, guint n, double *ranks)
{
  for (guint i = 0; i < n; i++) {
    double below = 0.0, same = 0.0;
    for (guint j = 0; j < n; j++) {
      below += values[j] < values[i];
      same += values[j] == values[i];
    }
    ranks[i] = below + (same - 1.0) / 2.0;
  }
}

double
gem_rank_correlation(const double *x, const double *y, guint n)
{
  g_autofree double *a = g_new(double, n), *b = g_new(double, n);
  double product = 0.0, square_a = 0.0, square_b = 0.0, middle = ((double)n - 1.0) / 2.0;
  rank(x, n, a);
  rank(y, n, b);
  for (guint i = 0; i < n; i++) {
    product += (a[i] - middle) * (b[i] - middle);
    square_a += (a[i] - middle) * (a[i] - middle);
    square_b += (b[i] - middle) * (b[i] - middle);
  }
  return square_a > 0.0 && square_b > 0.0 ? product / sqrt(square_a * square_b) : NAN;
}

/* For each task one of its domain's. */
static void
resample(const GemVariantScore *score, GemRandom *random, guint *times)
{
  memset(times, 0, score->n_tasks * sizeof(guint));
  for (guint t = 0; t < score->n_tasks; t++) {
    guint own = 0;
    for (guint u = 0; u < score->n_tasks; u++) {
      own += score->domain[u] == score->domain[t];
    }
    guint wanted = (guint)gem_random_below(random, own), u = 0;
    for (; score->domain[u] != score->domain[t] || wanted > 0; u++) {
      wanted -= score->domain[u] == score->domain[t];
    }
    times[u]++;
  }
}

static double
correlate(GemVariantScore *const *scores,
          const double *intensity,
          guint n,
          GemVariantGap gap,
          const guint *times,
          double *gaps)
{
  for (guint i = 0; i < n; i++) {
    gaps[i] = gap == GEM_GAP_SAME_TASKS ? gem_variant_score_gap(scores[i], times)
                                        : gem_variant_score_gg(scores[i], gap == GEM_GAP_FORCED, times);
    if (!isfinite(gaps[i])) {
      return NAN;
    }
  }
  return gem_rank_correlation(intensity, gaps, n);
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
  double left = *(const double *)a, right = *(const double *)b;
  return (left > right) - (left < right);
}

GemVariantTrendFigure
gem_variant_trend(GemVariantScore *const *scores,
                  const double *intensity,
                  guint n,
                  GemVariantGap gap,
                  guint resamples,
                  guint64 seed)
{
  GemVariantTrendFigure figure = {NAN, NAN, NAN};
  g_autofree double *gaps = g_new(double, n), *found = g_new(double, resamples);
  g_autofree guint *times = g_new0(guint, n > 0 ? scores[0]->n_tasks : 1);
  GemRandom random = gem_random_seeded(seed, 0x7e5d);
  guint kept = 0;
  figure.correlation = n > 1 ? correlate(scores, intensity, n, gap, NULL, gaps) : NAN;
  for (guint r = 0; isfinite(figure.correlation) && r < resamples; r++) {
    resample(scores[0], &random, times);
    double correlation = correlate(scores, intensity, n, gap, times, gaps);
    if (isfinite(correlation)) {
      found[kept++] = correlation;
    }
  }
  if (kept > 0) {
    qsort(found, kept, sizeof(double), compare_doubles);
    figure.low = found[(guint)(0.025 * (kept - 1))];
    figure.high = found[(guint)(0.975 * (kept - 1))];
  }
  return figure;
}

const char *
gem_variant_trend_verdict(const GemVariantTrendFigure *figure)
{
  if (!isfinite(figure->low)) {
    return "unknown";
  }
  return figure->low > 0.0 ? "rises" : (figure->high < 0.0 ? "falls" : "neither");
}
