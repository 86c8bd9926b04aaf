#include "adaptation/trainer/gem-adapt-measure.h"

#include <math.h>

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-routes.h"

typedef struct {
  const GemAdaptModel *model;
  const GArray *texts;
  const float *row;
  GemLanes *lanes;
  GCancellable *cancellable;
  void (*share)(double share, gpointer data);
  gpointer data;
  GemAdaptSums *sums; /* of each text */
  gint done;          /* atomic */
} Measurement;

double
gem_adapt_sums_perplexity(const GemAdaptSums *self)
{
  return MAX(exp(self->loss / (double)MAX(self->tokens, 1)), 1.0);
}

static void
measure_text(
    const Measurement *self, guint i, GemBackbonePass *pass, GemRouterPass *router_pass, GemBatch *batch)
{
  const GemAdaptModel *model = self->model;
  const GemAdaptText *text = &g_array_index(self->texts, GemAdaptText, i);
  GemAdaptSums *sums = &self->sums[i];
  GemLoss loss = {0};
  gem_batch_clear(batch);
  gem_batch_append(batch, text->tokens, MIN(text->n, GEM_ADAPT_HELD_OUT), GEM_ROUTE_GENERAL, 1.0f);
  batch->prefix[0] = 0;
  gem_router_network_run(model->router, model->router_values, batch, 0.0f, router_pass, NULL);
  gem_adapt_routes_set(model, router_pass, self->row, batch);
  gem_backbone_run(model->backbone, model->values, model->centroids->values, model->cluster_set, batch, 1.0f,
                   pass, NULL, NULL, &loss);
  sums->loss = loss.loss;
  sums->tokens = loss.tokens;
  sums->read = batch->n;
  for (gsize t = 0; t < batch->n; t++) {
    sums->own += self->row != NULL && batch->route[t] == model->learned ? 1 : 0;
  }
}

static void
measure_lane(guint lane, gpointer data)
{
  Measurement *self = data;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new_forward(self->model->backbone);
  g_autoptr(GemRouterPass) router_pass = gem_router_pass_new(self->model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ADAPT_HELD_OUT);
  for (guint i = lane; i < self->texts->len; i += gem_lanes_count(self->lanes)) {
    if (g_cancellable_is_cancelled(self->cancellable)) {
      return;
    }
    measure_text(self, i, pass, router_pass, batch);
    gint done = g_atomic_int_add(&self->done, 1) + 1;
    self->share((double)done / (double)self->texts->len, self->data);
  }
}

gboolean
gem_adapt_measure(const GemAdaptModel *model,
                  const GArray *texts,
                  const float *row,
                  GemLanes *lanes,
                  GCancellable *cancellable,
                  void (*share)(double share, gpointer data),
                  gpointer data,
                  GemAdaptSums *ret_sums,
                  gsize n_groups,
                  GError **error)
{
  g_autofree GemAdaptSums *sums = g_new0(GemAdaptSums, MAX(texts->len, 1));
  Measurement self = {.model = model,
                      .texts = texts,
                      .row = row,
                      .lanes = lanes,
                      .cancellable = cancellable,
                      .share = share,
                      .data = data,
                      .sums = sums};
  gem_lanes_run(lanes, measure_lane, &self);
  if (g_cancellable_set_error_if_cancelled(cancellable, error)) {
    return FALSE;
  }
  for (gsize g = 0; g < n_groups; g++) {
    ret_sums[g] = (GemAdaptSums){0};
  }
  for (guint i = 0; i < texts->len; i++) {
    GemAdaptSums *sum = &ret_sums[g_array_index(texts, GemAdaptText, i).group];
    sum->loss += sums[i].loss;
    sum->tokens += sums[i].tokens;
    sum->own += sums[i].own;
    sum->read += sums[i].read;
  }
  return TRUE;
}
