#include "adaptation/trainer/gem-adapt-routes.h"

#include <math.h>
#include <string.h>

/* Of its own tokens, those that are to be taken; more would only widen what is taken of others. */
#define OWN_SHARE 0.97
/* What is looked at of either side. */
#define MOST_TOKENS 16384u
/* The bias moves no further than this: a row that needs more has not learned its domain. */
#define MOST_SHIFT 12.0

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

void
gem_adapt_routes_set(const GemAdaptModel *model, const GemRouterPass *pass, const float *row, GemBatch *batch)
{
  gsize width = model->router->shape.width;
  const float *features = gem_router_pass_features(pass);
  for (gsize i = 0; i < batch->n; i++) {
    double logits[GEM_MAX_DOMAINS + 1], sum = 0.0;
    guint n = logits_of(model, features + i * width, row, logits), best = 0;
    for (guint c = 1; c < n; c++) {
      best = logits[c] > logits[best] ? c : best;
    }
    for (guint c = 0; c < n; c++) {
      sum += exp(logits[c] - logits[best]);
    }
    gboolean routed = 1.0 / sum > (double)model->shape.router_threshold && model->present[best];
    batch->route[i] = routed ? (gint8)best : GEM_ROUTE_GENERAL;
  }
}

/* ---- the bias ---- */

/* How much the bias has to grow for the token to be routed to the row. */
static double
shift_needed(const GemAdaptModel *model, const float *feature, const float *row)
{
  double logits[GEM_MAX_DOMAINS + 1], top = -INFINITY, sum = 0.0;
  double threshold = CLAMP((double)model->shape.router_threshold, 1e-6, 1.0 - 1e-6);
  guint n = logits_of(model, feature, row, logits), own = (guint)model->learned;
  for (guint c = 0; c < n; c++) {
    top = c != own ? MAX(top, logits[c]) : top;
  }
  for (guint c = 0; c < n; c++) {
    sum += c != own ? exp(logits[c] - top) : 0.0;
  }
  double for_threshold = log(threshold / (1.0 - threshold)) + top + log(sum) - logits[own];
  return MAX(for_threshold, top - logits[own]);
}

/* Of texts of all domains. */
#define ALL_DOMAINS G_MAXINT

/* Those of the tokens of that domain's texts. */
static GArray *
collect_shifts(const GemAdaptModel *model, const GArray *texts, int domain, const float *row)
{
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(model->router->positions);
  gsize width = model->router->shape.width;
  GArray *shifts = g_array_new(FALSE, FALSE, sizeof(double));
  for (guint i = 0; i < texts->len && shifts->len < MOST_TOKENS; i++) {
    const GemAdaptText *text = &g_array_index(texts, GemAdaptText, i);
    guint n = (guint)MIN(text->n, model->router->positions);
    if (domain != ALL_DOMAINS && text->domain != domain) {
      continue;
    }
    gem_batch_clear(batch);
    gem_batch_append(batch, text->tokens, n, GEM_ROUTE_GENERAL, 0.0f);
    memset(batch->target, 0xff, n * sizeof(gint32));
    for (guint way = 0; way < 2; way++) { /* causally, as answers are routed, and both ways, as turns are */
      batch->prefix[0] = way == 0 ? 0 : n;
      gem_router_network_run(model->router, model->router_values, batch, 0.0f, pass, NULL);
      for (guint t = 0; t < n; t++) {
        double shift = shift_needed(model, gem_router_pass_features(pass) + t * width, row);
        g_array_append_val(shifts, shift);
      }
    }
  }
  return shifts;
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

/* The value below which `share` of the sorted ones are. */
static double
quantile(const GArray *sorted, double share)
{
  guint index = (guint)MIN(floor(share * (double)sorted->len), (double)sorted->len - 1.0);
  return g_array_index(sorted, double, index);
}

/* The quantile of the shifts of that domain's texts; `otherwise` where there are none. */
static double
shift_for(const GemAdaptModel *model,
          const GArray *texts,
          int domain,
          const float *row,
          double share,
          double otherwise)
{
  g_autoptr(GArray) shifts = collect_shifts(model, texts, domain, row);
  g_array_sort(shifts, compare_doubles);
  return shifts->len > 0 ? quantile(shifts, share) : otherwise;
}

void
gem_adapt_routes_choose_bias(const GemAdaptModel *model, const GArray *own, const GArray *others, float *row)
{
  double enough = shift_for(model, own, ALL_DOMAINS, row, OWN_SHARE, 0.0);
  double most = MOST_SHIFT;
  /* No domain shall pay for the others: the one that is nearest to what was learned says how far it goes. */
  for (int domain = GEM_ROUTE_GENERAL; domain < (int)model->router->shape.n_domains; domain++) {
    most = MIN(most, shift_for(model, others, domain, row, GEM_ADAPT_TAKEN_SHARE, MOST_SHIFT));
  }
  /* A token is taken when the shift is larger than what it needs, so `most` itself takes one less. */
  row[model->router->shape.width] += (float)CLAMP(MIN(most, enough), -MOST_SHIFT, MOST_SHIFT);
}
