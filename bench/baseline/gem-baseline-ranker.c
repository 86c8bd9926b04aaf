#include "bench/baseline/gem-baseline-ranker.h"

#include <math.h>

#include "bench/baseline/gem-baseline-minimise.h"

/* Of a fit. */
#define STEPS     100u
#define TOLERANCE 1e-5

struct _GemBaselineRanker {
  const GemBaselineRows *rows;
  const guint *ends, *targets;
  guint n_features, n_lines;
  float *weights; /* [n_features] */
  double *scores; /* [most candidates of a line] */
  double penalty; /* of half the squares, where the loss is the mean over lines */
};

static guint
most_candidates(const guint *ends, guint n_lines)
{
  guint most = 0, i;

  for (i = 0; i < n_lines; i++) {
    most = MAX(most, ends[i] - (i == 0 ? 0 : ends[i - 1]));
  }
  return most;
}

GemBaselineRanker *
gem_baseline_ranker_new(
    const GemBaselineRows *rows, guint n_features, const guint *ends, const guint *targets, guint n_lines)
{
  GemBaselineRanker *self = g_new0(GemBaselineRanker, 1);

  self->rows = rows;
  self->ends = ends;
  self->targets = targets;
  self->n_features = n_features;
  self->n_lines = n_lines;
  self->weights = g_new0(float, n_features);
  self->scores = g_new0(double, most_candidates(ends, n_lines));
  return self;
}

void
gem_baseline_ranker_free(GemBaselineRanker *self)
{
  g_free(self->weights);
  g_free(self->scores);
  g_free(self);
}

static double
score_row(const float *weights, const GemBaselineRows *rows, guint row)
{
  guint n, i;
  const GemBaselineEntry *entries = gem_baseline_rows_get(rows, row, &n);
  double score = 0;

  for (i = 0; i < n; i++) {
    score += (double)weights[entries[i].feature] * entries[i].value;
  }
  return score;
}

/* Adds the gradient of a line's -log p(right one), which it returns, over `n_lines`. */
static double
add_line(GemBaselineRanker *self, const float *weights, float *gradient, guint line)
{
  guint first = line == 0 ? 0 : self->ends[line - 1], n = self->ends[line] - first, i, j;
  double most = -INFINITY, sum = 0, right;

  for (i = 0; i < n; i++) {
    self->scores[i] = score_row(weights, self->rows, first + i);
    most = fmax(most, self->scores[i]);
  }
  right = self->scores[self->targets[line]] - most;
  for (i = 0; i < n; i++) {
    self->scores[i] = exp(self->scores[i] - most);
    sum += self->scores[i];
  }
  for (i = 0; i < n; i++) {
    double share = (self->scores[i] / sum - (i == self->targets[line])) / self->n_lines;
    guint n_entries;
    const GemBaselineEntry *entries = gem_baseline_rows_get(self->rows, first + i, &n_entries);

    for (j = 0; j < n_entries; j++) {
      gradient[entries[j].feature] += (float)share * entries[j].value;
    }
  }
  return log(sum) - right;
}

static double
evaluate(const float *weights, float *gradient, gsize n, gpointer data)
{
  GemBaselineRanker *self = data;
  double loss = 0, squares = 0;
  guint line;
  gsize i;

  for (i = 0; i < n; i++) {
    gradient[i] = (float)self->penalty * weights[i];
    squares += (double)weights[i] * weights[i];
  }
  for (line = 0; line < self->n_lines; line++) {
    loss += add_line(self, weights, gradient, line);
  }
  return loss / self->n_lines + self->penalty * squares / 2;
}

void
gem_baseline_ranker_fit(GemBaselineRanker *self, double freedom)
{
  self->penalty = 1 / (freedom * self->n_lines);
  gem_baseline_minimise(evaluate, self, self->weights, self->n_features, STEPS, TOLERANCE);
}

guint *
gem_baseline_ranker_choose(const GemBaselineRanker *self,
                           const GemBaselineRows *rows,
                           const guint *ends,
                           guint n_lines)
{
  guint *chosen = g_new0(guint, n_lines);
  guint line, row;

  for (line = 0; line < n_lines; line++) {
    guint first = line == 0 ? 0 : ends[line - 1];
    double most = -INFINITY;

    for (row = first; row < ends[line]; row++) {
      double score = score_row(self->weights, rows, row);

      if (score > most) {
        most = score;
        chosen[line] = row - first;
      }
    }
  }
  return chosen;
}
