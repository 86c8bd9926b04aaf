#include "adaptation/trainer/gem-adapt-measure.h"

#include <math.h>
#include <string.h>

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-routes.h"

typedef struct {
  const GemAdaptModel *model;
  const GArray *texts;
  GemAdaptLook look;
  gboolean is_forced;
  gint8 route;      /* when it is */
  const float *row; /* when it is not */
  GemLanes *lanes;
  const GemAdaptWatch *watch;
  GemAdaptSums *sums; /* of each text */
  gint done;          /* atomic */
} Measurement;

GemAdaptLook
gem_adapt_measure_look(guint index)
{
  return index % 2 == 0 ? GEM_ADAPT_LOOK_BACK : GEM_ADAPT_LOOK_BOTH_WAYS;
}

void
gem_adapt_measure_read(const GemAdaptText *text, GemAdaptLook look, GemBatch *batch)
{
  gem_batch_clear(batch);
  gem_batch_append(batch, text->tokens, MIN(text->n, GEM_ADAPT_HELD_OUT), GEM_ROUTE_GENERAL, 1.0f);
  batch->prefix[0] = look == GEM_ADAPT_LOOK_BOTH_WAYS ? (guint32)batch->n : 0;
}

static void
measure_text(
    const Measurement *self, guint i, GemBackbonePass *pass, GemRouterPass *router_pass, GemBatch *batch)
{
  const GemAdaptModel *model = self->model;
  const GemAdaptText *text = &g_array_index(self->texts, GemAdaptText, i);
  GemAdaptSums *sums = &self->sums[i];
  GemLoss loss = {0};
  *sums = (GemAdaptSums){0};
  gem_adapt_measure_read(text, self->look == GEM_ADAPT_LOOK_MIXED ? gem_adapt_measure_look(i) : self->look,
                         batch);
  if (self->is_forced) {
    memset(batch->route, self->route, batch->n);
  } else {
    gem_router_network_run(model->router, model->router_values, batch, 0.0f, router_pass, NULL);
    gem_adapt_routes_set(model, router_pass, self->row, batch);
  }
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
    if (g_cancellable_is_cancelled(self->watch->cancellable)) {
      return;
    }
    measure_text(self, i, pass, router_pass, batch);
    gint done = g_atomic_int_add(&self->done, 1) + 1;
    self->watch->share((double)done / (double)self->texts->len, self->watch->data);
  }
}

static gboolean
measure(Measurement *self, GError **error)
{
  gem_lanes_run(self->lanes, measure_lane, self);
  return !g_cancellable_set_error_if_cancelled(self->watch->cancellable, error);
}

gboolean
gem_adapt_measure(const GemAdaptModel *model,
                  const GArray *texts,
                  GemAdaptLook look,
                  const float *row,
                  GemLanes *lanes,
                  const GemAdaptWatch *watch,
                  GemAdaptSums *ret_sums,
                  GError **error)
{
  Measurement self = {.model = model,
                      .texts = texts,
                      .look = look,
                      .row = row,
                      .lanes = lanes,
                      .watch = watch,
                      .sums = ret_sums};
  return measure(&self, error);
}

gboolean
gem_adapt_measure_forced(const GemAdaptModel *model,
                         const GArray *texts,
                         gint8 route,
                         GemLanes *lanes,
                         const GemAdaptWatch *watch,
                         GemAdaptSums *ret_sums,
                         GError **error)
{
  Measurement self = {.model = model,
                      .texts = texts,
                      .is_forced = TRUE,
                      .route = route,
                      .lanes = lanes,
                      .watch = watch,
                      .sums = ret_sums};
  return measure(&self, error);
}

/* ---- what it comes to ---- */

GemAdaptSums
gem_adapt_sums_add(const GArray *texts, const GemAdaptSums *sums, guint group)
{
  GemAdaptSums sum = {0};
  for (guint i = 0; i < texts->len; i++) {
    if (g_array_index(texts, GemAdaptText, i).group == group) {
      sum.loss += sums[i].loss;
      sum.tokens += sums[i].tokens;
      sum.own += sums[i].own;
      sum.read += sums[i].read;
    }
  }
  return sum;
}

double
gem_adapt_sums_perplexity(const GemAdaptSums *self)
{
  double perplexity = exp(self->loss / (double)MAX(self->tokens, 1));
  /* MAX would make 1, the best there is, of what is no number. */
  return isnan(perplexity) ? INFINITY : MAX(perplexity, 1.0);
}

GemAdaptChange
gem_adapt_sums_compare(const GArray *texts,
                       const GemAdaptSums *before,
                       const GemAdaptSums *after,
                       guint group)
{
  GemAdaptSums first = gem_adapt_sums_add(texts, before, group),
               last = gem_adapt_sums_add(texts, after, group);
  double tokens = (double)MAX(first.tokens, 1), mean = (last.loss - first.loss) / tokens, squares = 0.0;
  guint n = 0;
  for (guint i = 0; i < texts->len; i++) {
    if (g_array_index(texts, GemAdaptText, i).group == group) {
      double away = after[i].loss - before[i].loss - mean * (double)before[i].tokens;
      squares += away * away;
      n++;
    }
  }
  double factor = gem_adapt_sums_perplexity(&last) / gem_adapt_sums_perplexity(&first);
  factor = isnan(factor) ? INFINITY : factor;
  double deviation = n > 1 ? sqrt(squares * n / (n - 1.0)) / tokens : 0.0;
  return (GemAdaptChange){
      .tokens = first.tokens, .percent = 100.0 * (factor - 1.0), .error = 100.0 * factor * deviation};
}
