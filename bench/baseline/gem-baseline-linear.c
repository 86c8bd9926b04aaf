#include "bench/baseline/gem-baseline-linear.h"

#include <math.h>
#include <string.h>

#include "bench/baseline/gem-baseline-minimise.h"

/* Classes are padded to a multiple of this, so that loops over them become vectors. */
#define LANES 4u
/* Of a fit. */
#define STEPS     40u
#define TOLERANCE 1e-3

struct _GemBaselineLinear {
  const GemBaselineRows *rows;
  const guint *classes;
  guint n_features, n_classes, stride;
  float *weights; /* [n_features + 1][stride]; the last row is b */
  float *scores;  /* [stride] */
  double penalty; /* of half the squares, where the loss is the mean over rows */
};

GemBaselineLinear *
gem_baseline_linear_new(const GemBaselineRows *rows, guint n_features, const guint *classes, guint n_classes)
{
  GemBaselineLinear *self = g_new0(GemBaselineLinear, 1);

  self->rows = rows;
  self->classes = classes;
  self->n_features = n_features;
  self->n_classes = n_classes;
  self->stride = (n_classes + LANES - 1) / LANES * LANES;
  self->weights = g_new0(float, (gsize)(n_features + 1) * self->stride);
  self->scores = g_new0(float, self->stride);
  return self;
}

void
gem_baseline_linear_free(GemBaselineLinear *self)
{
  g_free(self->weights);
  g_free(self->scores);
  g_free(self);
}

/* sum [n] += scale * a [n], n a multiple of LANES */
static void
add_lanes(float *restrict sum, float scale, const float *restrict a, guint n)
{
  guint i, j;

  for (i = 0; i < n; i += LANES) {
    for (j = 0; j < LANES; j++) {
      sum[i + j] += scale * a[i + j];
    }
  }
}

static void
score_row(const GemBaselineLinear *self,
          const float *weights,
          const GemBaselineEntry *entries,
          guint n,
          float *scores)
{
  guint i;

  memcpy(scores, weights + (gsize)self->n_features * self->stride, self->stride * sizeof *scores);
  for (i = 0; i < n; i++) {
    add_lanes(scores, entries[i].value, weights + (gsize)entries[i].feature * self->stride, self->stride);
  }
}

/* Turns scores into p, in place, and those of the padding into 0; returns -log p of `class`. */
static double
normalise(float *scores, guint n_classes, guint stride, guint class)
{
  float most = scores[0];
  double sum = 0, right = scores[class];
  guint i;

  for (i = 1; i < n_classes; i++) {
    most = fmaxf(most, scores[i]);
  }
  right -= most;
  for (i = 0; i < n_classes; i++) {
    scores[i] = expf(scores[i] - most);
    sum += scores[i];
  }
  for (i = 0; i < stride; i++) {
    scores[i] = i < n_classes ? (float)(scores[i] / sum) : 0;
  }
  return log(sum) - right;
}

static double
evaluate(const float *weights, float *gradient, gsize n, gpointer data)
{
  GemBaselineLinear *self = data;
  guint n_rows = self->rows->ends->len, row, i;
  gsize n_penalised = (gsize)self->n_features * self->stride, at;
  double loss = 0, squares = 0;

  for (at = 0; at < n; at++) {
    gradient[at] = at < n_penalised ? (float)self->penalty * weights[at] : 0;
    squares += at < n_penalised ? (double)weights[at] * weights[at] : 0;
  }
  for (row = 0; row < n_rows; row++) {
    guint n_entries;
    const GemBaselineEntry *entries = gem_baseline_rows_get(self->rows, row, &n_entries);

    score_row(self, weights, entries, n_entries, self->scores);
    loss += normalise(self->scores, self->n_classes, self->stride, self->classes[row]);
    self->scores[self->classes[row]] -= 1;
    for (i = 0; i < n_entries; i++) {
      add_lanes(gradient + (gsize)entries[i].feature * self->stride, entries[i].value / (float)n_rows,
                self->scores, self->stride);
    }
    add_lanes(gradient + n_penalised, 1 / (float)n_rows, self->scores, self->stride);
  }
  return loss / n_rows + self->penalty * squares / 2;
}

void
gem_baseline_linear_fit(GemBaselineLinear *self, double freedom)
{
  guint n_rows = self->rows->ends->len;

  self->penalty = 1 / (freedom * n_rows);
  gem_baseline_minimise(evaluate, self, self->weights, (gsize)(self->n_features + 1) * self->stride, STEPS,
                        TOLERANCE);
}

guint *
gem_baseline_linear_choose(const GemBaselineLinear *self, const GemBaselineRows *rows)
{
  guint *chosen = g_new0(guint, rows->ends->len);
  g_autofree float *scores = g_new0(float, self->stride);
  guint row, i;

  for (row = 0; row < rows->ends->len; row++) {
    guint n_entries;
    const GemBaselineEntry *entries = gem_baseline_rows_get(rows, row, &n_entries);

    score_row(self, self->weights, entries, n_entries, scores);
    for (i = 1; i < self->n_classes; i++) {
      if (scores[i] > scores[chosen[row]]) {
        chosen[row] = i;
      }
    }
  }
  return chosen;
}
