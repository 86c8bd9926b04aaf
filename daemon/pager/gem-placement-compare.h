/*
 * What a pathway gives and takes on one side and on the other: the same rows through all its layers, once for
 * a single row and once for a block. Devices have another graph for each, so both are looked at.
 */
#pragma once

#include "daemon/pager/gem-placement-decisions.h"
#include "plugins/gem-plugin.h"

/* |device - other| / |other| of what a layer adds: the other rounds its inputs to 8 bits, which is 1 % or so;
 * weights that a provider wanted in fewer bits are more, and wrong ones are about 1. */
#define GEM_PLACEMENT_LARGEST_DIFFERENCE 0.05

/* A pathway on one side. */
typedef struct {
  const GemShape *shape;
  const GemPathwayFunctions *functions;
  GemPathway *pathway;
  gboolean is_device; /* it may fail */
} GemPlacementSide;

/* What a side gives for each count of rows: [layers][rows][width], each layer for the same inputs. */
typedef struct {
  float *y[GEM_PLACEMENT_COUNTS];
  double us[GEM_PLACEMENT_COUNTS]; /* that it took this once, in microseconds */
} GemPlacementResults;

/* NULL: the device failed, and `reason` says why. */
GemPlacementResults *
gem_placement_results_new(const GemPlacementSide *side, GemPluginError *reason);
void
gem_placement_results_free(GemPlacementResults *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPlacementResults, gem_placement_results_free)

typedef struct {
  double relative; /* the largest of all layers and counts; infinite when a value is no number */
  guint rows, layer;
} GemPlacementDifference;

/* Each layer by itself: one that is wrong must not be lost among the others. */
GemPlacementDifference
gem_placement_results_compare(const GemPlacementResults *device,
                              const GemPlacementResults *other,
                              const GemShape *shape);

/* What all layers take, one after the other, in microseconds, at least 1: the fastest of some runs. Negative:
 * the device failed, and `reason` says why. */
double
gem_placement_measure(const GemPlacementSide *side, guint rows, GemPluginError *reason);
