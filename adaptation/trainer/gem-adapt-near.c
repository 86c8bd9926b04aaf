#include "adaptation/trainer/gem-adapt-near.h"

#include <math.h>
#include <stdlib.h>

#include "adaptation/trainer/gem-adapt-measure.h"
#include "adaptation/trainer/gem-adapt-routes.h"

#define NEAR_SHARE  3u /* one text of so many */
#define LEAST_TEXTS 16u

typedef struct {
  double nearness;
  guint index;
} Near;

typedef struct {
  const GemAdaptModel *model;
  const GArray *texts;
  const float *row;
  GemLanes *lanes;
  Near *near;
} Search;

/* How many of the tokens would be taken, softly. */
static void
look_lane(guint lane, gpointer data)
{
  Search *self = data;
  const GemAdaptModel *model = self->model;
  gsize width = model->router->shape.width;
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(model->router->positions);
  for (guint i = lane; i < self->texts->len; i += gem_lanes_count(self->lanes)) {
    double sum = 0.0;
    gem_adapt_measure_read(&g_array_index(self->texts, GemAdaptText, i), gem_adapt_measure_look(i), batch);
    gem_router_network_run(model->router, model->router_values, batch, 0.0f, pass, NULL);
    for (gsize t = 0; t < batch->n; t++) {
      const float *feature = gem_router_pass_features(pass) + t * width;
      sum += 1.0 / (1.0 + exp((double)gem_adapt_routes_shift(model, feature, self->row).taken));
    }
    self->near[i] = (Near){sum / (double)batch->n, i};
  }
}

static int
compare_near(gconstpointer a, gconstpointer b)
{
  const Near *left = a, *right = b;
  if (left->nearness != right->nearness) {
    return left->nearness > right->nearness ? -1 : 1;
  }
  return left->index < right->index ? -1 : 1;
}

GArray *
gem_adapt_near_pick(const GemAdaptModel *model, const GArray *texts, const float *row, GemLanes *lanes)
{
  g_autofree Near *near = g_new(Near, MAX(texts->len, 1));
  Search self = {model, texts, row, lanes, near};
  GArray *picked = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  guint wanted = MIN(MAX(texts->len / NEAR_SHARE, LEAST_TEXTS), texts->len);
  gem_lanes_run(lanes, look_lane, &self);
  qsort(near, texts->len, sizeof(Near), compare_near);
  for (guint i = 0; i < wanted; i++) {
    GemAdaptText text = g_array_index(texts, GemAdaptText, near[i].index);
    text.group = 0;
    g_array_append_val(picked, text);
  }
  return picked;
}
