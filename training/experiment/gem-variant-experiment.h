/*
 * Experiments on the model as a whole: each variant of a plan, with each seed (and, where it adapts, for each
 * domain) is one cell: it learns what it has to, then it is scored. Every cell's scores are a JSON file in
 * the work folder, and what was retrained a checkpoint beside them, so that a run goes on where it was
 * stopped.
 */
#pragma once

#include "training/experiment/gem-experiment.h"
#include "training/experiment/gem-variants.h"

typedef struct {
  const GemVariant *variant;
  gint8 domain;      /* that it is adapted to; GEM_ROUTE_GENERAL: it is not */
  guint seed;        /* a variant that learns nothing has the first alone */
  gboolean own_only; /* its plan's */
} GemVariantCell;

/* All cells of a plan with the experiment's variations, seeds and domains, seed by seed. Transfer full, of
 * GemVariantCell. */
GArray *
gem_variant_cells_new(const GemExperiment *experiment, const GemVariantPlan *plan, GError **error);
/* WORK/[own-]VARIANT[-DOMAIN]-SEED.json: what is scored on its own domain's pathway alone is another figure
 * than what the same variant is worth as routed. Transfer full. */
char *
gem_variant_cell_path(const GemExperiment *experiment, const GemVariantCell *cell);
/* WORK/router-VARIANT.gguf: the router of a variant that has one of its own, a checkpoint of gem-train router
 * that has to be there before the run. Transfer full. */
char *
gem_variant_router_path(const GemExperiment *experiment, const GemVariant *variant);

/* Seconds that all cells will take that are not there yet, from a few steps and a few items; below 0: failed.
 */
double
gem_variant_experiment_estimate(GemExperiment *experiment, const GemVariantPlan *plan, GError **error);
/* Runs what is not there yet; SIGINT and SIGTERM end it. */
gboolean
gem_variant_experiment_run(GemExperiment *experiment, const GemVariantPlan *plan, GError **error);

/* The table on stdout, and all figures as WORK/result.json. */
gboolean
gem_variant_experiment_report(const GemExperiment *experiment, const GemVariantPlan *plan, GError **error);
