#include "adaptation/trainer/gem-adapt-bias.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-routes.h"

/* Of its own tokens, those that are to be taken; more would only widen what is taken of others. */
#define OWN_SHARE 0.98
/* The bias moves no further than this: a row that needs more has not learned its domain. */
#define MOST_SHIFT 12.0
/* It is looked for from above in strides, and then closer. */
#define STRIDE   0.5
#define HALVINGS 3u
/* Texts of one's own that are looked at. */
#define OWN_TEXTS 64u

typedef struct {
  const GemAdaptBiasSearch *search;
  const float *row;
  GemLanes *lanes;
  const GemAdaptWatch *watch;
  GArray *texts;         /* GemAdaptText: those of one's own, then the others' */
  guint n_own;           /* texts */
  gsize *first;          /* of each text's tokens, and the end */
  GemAdaptShift *shifts; /* of each token */
  double shift;          /* that is tried */
  GemAdaptSums *after;   /* [others], with it */
  gint done;             /* atomic: looked at, of all texts */
} Bias;

static void
bias_clear(Bias *self)
{
  g_clear_pointer(&self->texts, g_array_unref);
  g_free(self->first);
  g_free(self->shifts);
  g_free(self->after);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bias, bias_clear)

static void
gather(Bias *self)
{
  const GArray *own = self->search->own, *others = self->search->others;
  gsize end = 0;
  self->texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->n_own = MIN(own->len, OWN_TEXTS);
  for (guint i = 0; i < self->n_own; i++) {
    g_array_append_val(self->texts, g_array_index(own, GemAdaptText, (guint64)i * own->len / self->n_own));
  }
  g_array_append_vals(self->texts, others->data, others->len);
  self->first = g_new(gsize, self->texts->len + 1);
  for (guint i = 0; i < self->texts->len; i++) {
    self->first[i] = end;
    end += MIN(g_array_index(self->texts, GemAdaptText, i).n, GEM_ADAPT_HELD_OUT);
  }
  self->first[self->texts->len] = end;
  self->shifts = g_new(GemAdaptShift, MAX(end, 1));
  self->after = g_new(GemAdaptSums, MAX(others->len, 1));
}

/* ---- where each token goes ---- */

static void
look_lane(guint lane, gpointer data)
{
  Bias *self = data;
  const GemAdaptModel *model = self->search->model;
  gsize width = model->router->shape.width;
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ADAPT_HELD_OUT);
  for (guint i = lane; i < self->texts->len; i += gem_lanes_count(self->lanes)) {
    gboolean is_own = i < self->n_own;
    if (g_cancellable_is_cancelled(self->watch->cancellable)) {
      return;
    }
    gem_adapt_measure_read(&g_array_index(self->texts, GemAdaptText, i),
                           is_own ? GEM_ADAPT_LOOK_BACK : gem_adapt_measure_look(i - self->n_own), batch);
    gem_router_network_run(model->router, model->router_values, batch, 0.0f, pass, NULL);
    const float *features = gem_router_pass_features(pass);
    for (gsize t = 0; t < batch->n; t++) {
      self->shifts[self->first[i] + t] = gem_adapt_routes_shift(model, features + t * width, self->row);
    }
    gint done = g_atomic_int_add(&self->done, 1) + 1;
    self->watch->share((double)done / (double)self->texts->len, self->watch->data);
  }
}

/* Routes of a text of the others; FALSE: they are what they were. */
static gboolean
set_routes(const Bias *self, guint text, GemBatch *batch)
{
  const GemAdaptShift *shifts = self->shifts + self->first[text];
  gboolean changed = FALSE;
  for (gsize t = 0; t < batch->n; t++) {
    gint8 route = self->shift > shifts[t].taken ? self->search->model->learned : shifts[t].left;
    changed |= route != shifts[t].before;
    batch->route[t] = route;
  }
  return changed;
}

/* ---- what it costs ---- */

static void
cost_lane(guint lane, gpointer data)
{
  Bias *self = data;
  const GemAdaptModel *model = self->search->model;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new_forward(model->backbone);
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ADAPT_HELD_OUT);
  for (guint i = lane; i < self->search->others->len; i += gem_lanes_count(self->lanes)) {
    GemLoss loss;
    if (g_cancellable_is_cancelled(self->watch->cancellable)) {
      return;
    }
    self->after[i] = self->search->other_before[i];
    gem_adapt_measure_read(&g_array_index(self->search->others, GemAdaptText, i), GEM_ADAPT_LOOK_BACK, batch);
    if (set_routes(self, self->n_own + i, batch)) {
      gem_backbone_run(model->backbone, model->values, model->centroids->values, model->cluster_set, batch,
                       1.0f, pass, NULL, NULL, &loss);
      self->after[i].loss = loss.loss;
    }
  }
}

/* Whether every group can pay for what that shift takes of it. */
static gboolean
is_affordable(double shift, gpointer data)
{
  Bias *self = data;
  gboolean affordable = TRUE;
  self->shift = shift;
  gem_lanes_run(self->lanes, cost_lane, self);
  for (guint group = 0; group <= GEM_MAX_DOMAINS && affordable; group++) {
    GemAdaptChange change =
        gem_adapt_sums_compare(self->search->others, self->search->other_before, self->after, group);
    affordable = change.percent + change.error <= self->search->most_percent;
  }
  return affordable;
}

/* ---- the search ---- */

static int
compare_floats(gconstpointer a, gconstpointer b)
{
  float left = *(const float *)a, right = *(const float *)b;
  return left < right ? -1 : left > right;
}

/* The shift that takes OWN_SHARE of one's own tokens. */
static double
find_enough(const Bias *self)
{
  gsize n = self->first[self->n_own];
  g_autofree float *shifts = g_new(float, MAX(n, 1));
  for (gsize i = 0; i < n; i++) {
    shifts[i] = self->shifts[i].taken;
  }
  qsort(shifts, n, sizeof(float), compare_floats);
  return n > 0 ? (double)shifts[MIN((gsize)ceil(OWN_SHARE * (double)n), n - 1)] : 0.0;
}

double
gem_adapt_bias_search(double high, gboolean (*is_affordable_at)(double shift, gpointer data), gpointer data)
{
  double low = CLAMP(high, -MOST_SHIFT, MOST_SHIFT);
  high = low;
  while (!is_affordable_at(low, data)) {
    if (low <= -MOST_SHIFT) {
      return low;
    }
    high = low;
    low = MAX(low - STRIDE, -MOST_SHIFT);
  }
  for (guint i = 0; i < HALVINGS && high > low; i++) {
    double middle = (low + high) / 2.0;
    *(is_affordable_at(middle, data) ? &low : &high) = middle;
  }
  return low;
}

gboolean
gem_adapt_bias_set(
    const GemAdaptBiasSearch *search, float *row, GemLanes *lanes, const GemAdaptWatch *watch, GError **error)
{
  g_auto(Bias) self = {.search = search, .row = row, .lanes = lanes, .watch = watch};
  gather(&self);
  gem_lanes_run(lanes, look_lane, &self);
  if (g_cancellable_set_error_if_cancelled(watch->cancellable, error)) {
    return FALSE;
  }
  double shift = gem_adapt_bias_search(find_enough(&self), is_affordable, &self);
  if (g_cancellable_set_error_if_cancelled(watch->cancellable, error)) {
    return FALSE;
  }
  row[search->model->router->shape.width] += (float)shift;
  return TRUE;
}
