/* What the experiments on a model as a whole compare: each variant is the model with something else than the
 * default, by name (gem-experiment-variations.h: what is compared of adaptations one after another). */
#pragma once

#include "training/adapt/gem-learned-tensors.h"
#include "training/network/gem-model-export.h"

typedef enum {
  GEM_VARIANT_STAYS,    /* the model as it is */
  GEM_VARIANT_RETRAINS, /* all of it learns further, on the same tokens (gem-retraining.h) */
  GEM_VARIANT_ADAPTS,   /* it is adapted to one domain (gem-adaptation.h) */
} GemVariantLearning;

typedef enum {
  GEM_PATHWAY_RESIDUAL,  /* beside the general feed-forward */
  GEM_PATHWAY_EXCLUSIVE, /* in its place, and as wide as both together: begins as the same function */
  GEM_PATHWAY_NARROW,    /* in its place, as wide as the residual is */
} GemVariantPathway;

typedef enum {
  GEM_ROUTER_OF_MODEL,
  GEM_ROUTER_ANEW,  /* of the same size, trained from nothing */
  GEM_ROUTER_SMALL, /* the same of two thirds of the size: 5/8 of the embedding, 2/3 of the layers */
} GemVariantRouter;

typedef struct {
  const char *name, *what; /* what: one line for tables */
  GemVariantLearning learning;
  /* of what learns */
  const char *network; /* RETRAINS: the variant whose retrained network this one runs; NULL: its own */
  GemLearns learns;    /* ADAPTS: what */
  gboolean plain;      /* ADAPTS: task loss alone, nothing quantized */
  double rate;         /* ADAPTS; 0: the default */
  /* of the network */
  gboolean general_alone; /* STAYS: all text runs through the general part */
  GemVariantPathway pathway;
  gboolean dense;           /* attention without clusters */
  gboolean paper_mask;      /* without a local window */
  int cluster_set;          /* index of the set of centroids */
  gboolean fixed_centroids; /* by chance, and never moved */
  /* of the router */
  gboolean four_bits; /* the router's tensors in Q4_0 */
  GemVariantRouter router;
  /* of how it runs */
  gboolean unquantized; /* else in the model's block types */
  guint bits;           /* simulated, of all matrices, in place of block types; 0: none */
  double pruned;        /* share of each matrix that is set to 0 before that */
} GemVariant;

/* NULL when there is none of that name. */
const GemVariant *
gem_variant_find(const char *name);

/* It is a dense network: all text runs through its general part, and it has no other. */
gboolean
gem_variant_is_dense_network(const GemVariant *self);

/* The block types that its files would have, where those of the model are `types`. */
GemExportTypes
gem_variant_types(const GemVariant *self, const GemExportTypes *types);

typedef enum {
  GEM_TREND_NONE,
  GEM_TREND_BITS,   /* GG is to rise as bits fall */
  GEM_TREND_PRUNED, /* GG is to rise with the share that is pruned */
} GemVariantTrend;

typedef struct {
  const char *name, *what;
  const char *variants; /* names, comma-separated */
  const char *domains;  /* that variants which adapt are adapted to, one after the other from the same start;
                           NULL: the experiment's domains */
  gboolean own_only;    /* scored on the domain that is adapted to alone */
  GemVariantTrend trend;
} GemVariantPlan;

extern const GemVariantPlan gem_variant_plans[];
extern const gsize gem_variant_n_plans;
