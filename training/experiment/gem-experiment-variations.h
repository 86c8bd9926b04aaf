/* What the experiments compare: each variation is an adaptation with something else than the default, by
 * name.
 */
#pragma once

#include "training/adapt/gem-adaptation.h"
#include "training/experiment/gem-variants.h"

typedef struct {
  const char *name, *what; /* what: one line for tables */
  const char *against;     /* the variation that it is compared with where that is there; else the first */
  GemLearns learns;
  gboolean plain;           /* task loss alone, nothing quantized */
  gboolean dense;           /* attention without clusters */
  gint window;              /* the attention's local window; -1: the model's */
  gint cluster_set;         /* index of the set of centroids; 0: the largest */
  gboolean unquantized;     /* learned tensors run as they are, without the quantization term */
  GemQuantizationTerm term; /* unless plain or unquantized */
  double distill, contrast; /* weights; negative: the default */
  gboolean row; /* text runs where the router sends it, and the router's row of the domain learns */
} GemExperimentVariation;

/* NULL when there is none of that name. */
const GemExperimentVariation *
gem_experiment_variation_find(const char *name);

typedef struct {
  const char *name, *what;
  const char *variations; /* names, comma-separated */
  gboolean transfer;      /* all tasks run through each pathway at the end */
} GemExperimentPlan;

extern const GemExperimentPlan gem_experiment_plans[];
extern const gsize gem_experiment_n_plans;

/* The options of a variation, of those that all have in common. */
void
gem_experiment_variation_apply(const GemExperimentVariation *self, GemAdaptOptions *options);

/* The network of a variation when it has learned, for what it needs to run: which it is, and in which block
 * types what has learned is, where those of the model are `types`. */
GemVariant
gem_experiment_variation_variant(const GemExperimentVariation *self);
GemExportTypes
gem_experiment_variation_types(const GemExperimentVariation *self, const GemExportTypes *types);
