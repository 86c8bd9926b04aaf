#include "daemon/pager/gem-placement-compare.h"

#include <math.h>

/* Runs of each that is measured; the fastest counts. */
#define ROUNDS 3u

/* x[rows][width], of about the size of normed inputs; always the same. */
static float *
make_inputs(const GemShape *shape, guint rows)
{
  gsize values = (gsize)rows * shape->width;
  float *x = g_new(float, values);
  GRand *random = g_rand_new_with_seed(1);
  for (gsize i = 0; i < values; i++) {
    x[i] = (float)g_rand_double_range(random, -1.7, 1.7);
  }
  g_rand_free(random);
  return x;
}

/* y[layers][rows][width] += what each layer makes of x; FALSE: the device failed. */
static gboolean
run_layers(const GemPlacementSide *side, const float *x, guint rows, float *y, GemPluginError *reason)
{
  gboolean ran = TRUE;
  for (guint layer = 0; ran && layer < side->shape->layers; layer++) {
    float *to = y + (gsize)layer * rows * side->shape->width;
    if (side->is_device) {
      ran = side->functions->try_apply(side->pathway, layer, x, rows, to, reason);
    } else {
      side->functions->apply(side->pathway, layer, x, rows, to);
    }
  }
  return ran;
}

void
gem_placement_results_free(GemPlacementResults *self)
{
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_free(self->y[i]);
  }
  g_free(self);
}

GemPlacementResults *
gem_placement_results_new(const GemPlacementSide *side, GemPluginError *reason)
{
  g_autoptr(GemPlacementResults) self = g_new0(GemPlacementResults, 1);
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    guint rows = gem_placement_rows((GemPlacementCount)i);
    g_autofree float *x = make_inputs(side->shape, rows);
    self->y[i] = g_new0(float, (gsize)side->shape->layers *rows * side->shape->width);
    gint64 start = g_get_monotonic_time();
    if (!run_layers(side, x, rows, self->y[i], reason)) {
      return NULL;
    }
    self->us[i] = (double)(g_get_monotonic_time() - start);
  }
  return g_steal_pointer(&self);
}

/* Infinite when a value of `a` is no number. */
static double
relative_difference(const float *a, const float *b, gsize n)
{
  double difference = 0.0, norm = 0.0;
  for (gsize i = 0; i < n; i++) {
    double d = (double)a[i] - (double)b[i];
    difference += d * d;
    norm += (double)b[i] * (double)b[i];
  }
  double relative = sqrt(difference / fmax(norm, 1e-30));
  return isnan(relative) ? INFINITY : relative;
}

GemPlacementDifference
gem_placement_results_compare(const GemPlacementResults *device,
                              const GemPlacementResults *other,
                              const GemShape *shape)
{
  GemPlacementDifference largest = {0};
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    guint rows = gem_placement_rows((GemPlacementCount)i);
    gsize values = (gsize)rows * shape->width;
    for (guint layer = 0; layer < shape->layers; layer++) {
      double relative =
          relative_difference(device->y[i] + layer * values, other->y[i] + layer * values, values);
      if (relative >= largest.relative) {
        largest = (GemPlacementDifference){.relative = relative, .rows = rows, .layer = layer};
      }
    }
  }
  return largest;
}

double
gem_placement_measure(const GemPlacementSide *side, guint rows, GemPluginError *reason)
{
  g_autofree float *x = make_inputs(side->shape, rows);
  g_autofree float *y = g_new0(float, (gsize)side->shape->layers *rows * side->shape->width);
  gint64 best = G_MAXINT64;
  for (guint round = 0; round < ROUNDS; round++) {
    gint64 start = g_get_monotonic_time();
    if (!run_layers(side, x, rows, y, reason)) {
      return -1.0;
    }
    best = MIN(best, g_get_monotonic_time() - start);
  }
  return (double)MAX(best, 1); /* less than the clock can tell */
}
