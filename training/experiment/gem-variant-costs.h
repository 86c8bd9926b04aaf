/* What a variant needs when it runs: weights to hold and to read, and arithmetic (docs/edgebench.md,
 * "Costs"). */
#pragma once

#include <json-glib/json-glib.h>

#include "training/experiment/gem-variants.h"
#include "training/network/gem-checkpoint.h"

typedef struct {
  double bytes;        /* of all weights */
  double active_bytes; /* of those that a token with a pathway reads: general part, router, one pathway */
  double flop;         /* of a token, 2 a weight that it is multiplied with */
  double routed;       /* the share of tokens that have a pathway */
} GemVariantCosts;

GemVariantCosts
gem_variant_costs(const GemVariant *variant,
                  const GemExportTypes *types,
                  const GemBackboneCheckpoint *network,
                  const GemRouterNetwork *router,
                  double routed);

/* The share of the tokens of prompts that the router sends to a pathway: of the first 10 items of each of
 * `tasks` (GemChoiceTask), where a class is likelier than `threshold`. */
double
gem_variant_routed_share(const GPtrArray *tasks,
                         const GemRouterNetwork *router,
                         const float *values,
                         float threshold);

/* Members of the object that is being built; and back, NAN where there is none. */
void
gem_variant_costs_to_json(const GemVariantCosts *self, JsonBuilder *builder);
GemVariantCosts
gem_variant_costs_from_json(JsonObject *object);
