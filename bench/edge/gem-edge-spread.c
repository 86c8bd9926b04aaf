#include "bench/edge/gem-edge-spread.h"

#include <math.h>

#define ROUNDS 200u
#define SEED   1u

GemEdgeScore
gem_edge_score_mean(const double *values, gsize n)
{
  double sum = 0, squares = 0;
  gsize i;

  if (n == 0) {
    return (GemEdgeScore){NAN, NAN};
  }
  for (i = 0; i < n; i++) {
    sum += values[i];
  }
  for (i = 0; i < n; i++) {
    squares += (values[i] - sum / (double)n) * (values[i] - sum / (double)n);
  }
  return (GemEdgeScore){
      .value = sum / (double)n,
      .standard_error = n == 1 ? NAN : sqrt(squares / (double)(n - 1) / (double)n),
  };
}

GemEdgeScore
gem_edge_score_bootstrap(gsize n, GemEdgeStatistic statistic, gconstpointer data)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
  g_autofree guint *drawn = g_new(guint, n);
  double figures[ROUNDS];
  double whole, sum = 0, squares = 0;
  gsize i, round;

  if (n == 0) {
    return (GemEdgeScore){NAN, NAN};
  }
  for (i = 0; i < n; i++) {
    drawn[i] = (guint)i;
  }
  whole = statistic(drawn, n, data);
  for (round = 0; round < ROUNDS; round++) {
    for (i = 0; i < n; i++) {
      drawn[i] = (guint)g_rand_int_range(random, 0, (gint32)n);
    }
    figures[round] = statistic(drawn, n, data);
    sum += figures[round];
  }
  for (round = 0; round < ROUNDS; round++) {
    squares += (figures[round] - sum / ROUNDS) * (figures[round] - sum / ROUNDS);
  }
  return (GemEdgeScore){.value = whole, .standard_error = sqrt(squares / (ROUNDS - 1))};
}

GemEdgeScore
gem_edge_score_combine(const GemEdgeScore *scores, gsize n)
{
  double sum = 0, squares = 0;
  gsize i, numbers = 0;

  for (i = 0; i < n; i++) {
    if (!isnan(scores[i].value)) {
      sum += scores[i].value;
      squares += scores[i].standard_error * scores[i].standard_error;
      numbers++;
    }
  }
  return numbers == 0 ? (GemEdgeScore){NAN, NAN}
                      : (GemEdgeScore){sum / (double)numbers, sqrt(squares) / (double)numbers};
}

/* The share of each class among the targets: [classes]. Transfer full. */
static double *
count_shares(const guint *targets, gsize n, guint classes)
{
  double *shares = g_new0(double, classes);
  gsize i;

  for (i = 0; i < n; i++) {
    shares[targets[i]] += 1.0 / (double)n;
  }
  return shares;
}

double
gem_edge_chance_f1(const guint *targets, const guint *labels, gsize n)
{
  g_autoptr(GArray) right = g_array_new(FALSE, TRUE, sizeof(double));
  g_autoptr(GArray) stands = g_array_new(FALSE, TRUE, sizeof(double)); /* as target and as guess */
  double sum = 0;
  gsize i;
  guint class, seen = 0;

  for (i = 0; i < n; i++) {
    g_array_set_size(right, MAX(right->len, labels[i]));
    g_array_set_size(stands, right->len);
    g_array_index(right, double, targets[i]) += 1.0 / labels[i];
    g_array_index(stands, double, targets[i]) += 1;
    for (class = 0; class < labels[i]; class ++) {
      g_array_index(stands, double, class) += 1.0 / labels[i];
    }
  }
  for (class = 0; class < right->len; class ++) {
    double times = g_array_index(stands, double, class);

    sum += times > 0 ? 2 * g_array_index(right, double, class) / times : 0;
    seen += times > 0;
  }
  return n == 0 ? NAN : sum / seen;
}

double
gem_edge_majority_f1(const guint *targets, gsize n, guint classes)
{
  g_autofree double *shares = count_shares(targets, n, classes);
  double most = 0;
  guint class, present = 0;

  for (class = 0; class < classes; class ++) {
    most = MAX(most, shares[class]);
    present += shares[class] > 0;
  }
  return n == 0 ? NAN : 2 * most / (1 + most) / present;
}
