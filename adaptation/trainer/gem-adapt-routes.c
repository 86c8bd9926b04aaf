#include "adaptation/trainer/gem-adapt-routes.h"

#include <math.h>

static double
logit_of(const float *weights, const float *feature, gsize width)
{
  double logit = 0.0;
  for (gsize i = 0; i < width; i++) {
    logit += (double)weights[i] * (double)feature[i];
  }
  return logit;
}

/* Logits of all classes but the replaced one, with the row's own in its place; the number of classes. */
static guint
logits_of(const GemAdaptModel *model, const float *feature, const float *row, double *logits)
{
  gsize width = model->router->shape.width;
  guint n = model->router->shape.n_domains;
  for (guint c = 0; c < n; c++) {
    logits[c] = logit_of(model->router_values + model->router->classifier + c * width, feature, width);
  }
  if (row != NULL) {
    logits[model->learned] = logit_of(row, feature, width) + (double)row[width];
    n = MAX(n, (guint)model->learned + 1);
  }
  return n;
}

/* The likeliest class of those without `skipped`, log sum exp of their logits, and its share of them. */
typedef struct {
  guint best;
  double top, sum, share;
} Others;

static Others
others_of(const double *logits, guint n, int skipped)
{
  Others others = {.top = -INFINITY};
  double sum = 0.0;
  for (guint c = 0; c < n; c++) {
    if ((int)c != skipped && logits[c] > others.top) {
      others.top = logits[c];
      others.best = c;
    }
  }
  for (guint c = 0; c < n; c++) {
    sum += (int)c != skipped ? exp(logits[c] - others.top) : 0.0;
  }
  others.sum = others.top + log(sum);
  others.share = 1.0 / sum;
  return others;
}

static gint8
route_of(const GemAdaptModel *model, const Others *others, double threshold)
{
  return others->share > threshold && model->present[others->best] ? (gint8)others->best : GEM_ROUTE_GENERAL;
}

GemAdaptShift
gem_adapt_routes_shift(const GemAdaptModel *model, const float *feature, const float *row)
{
  double logits[GEM_MAX_DOMAINS + 1], threshold = (double)model->shape.router_threshold;
  guint n = logits_of(model, feature, NULL, logits);
  Others before = others_of(logits, n, -1);
  GemAdaptShift shift = {.before = route_of(model, &before, threshold), .taken = INFINITY};
  shift.left = shift.before;
  if (row != NULL) {
    n = logits_of(model, feature, row, logits);
    Others others = others_of(logits, n, model->learned);
    double odds = log(CLAMP(threshold, 1e-6, 1.0 - 1e-6)) - log(1.0 - CLAMP(threshold, 1e-6, 1.0 - 1e-6));
    shift.left = route_of(model, &others, threshold);
    shift.taken = (float)(MAX(odds + others.sum, others.top) - logits[model->learned]);
  }
  return shift;
}

void
gem_adapt_routes_set(const GemAdaptModel *model, const GemRouterPass *pass, const float *row, GemBatch *batch)
{
  gsize width = model->router->shape.width;
  const float *features = gem_router_pass_features(pass);
  for (gsize i = 0; i < batch->n; i++) {
    GemAdaptShift shift = gem_adapt_routes_shift(model, features + i * width, row);
    batch->route[i] = shift.taken < 0.0f ? model->learned : shift.left;
  }
}
