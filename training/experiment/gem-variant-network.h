/* The network of a variant, from the model that all of them start from. */
#pragma once

#include "training/experiment/gem-variants.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-export.h"

/* Backbone, values and centroids of their own, without a tokenizer, as they are before anything is learned.
 * `seed` is that of centroids by chance. */
GemBackboneCheckpoint *
gem_variant_network_new(const GemVariant *variant, const GemBackboneCheckpoint *model, guint64 seed);

/* To and from a file that other commands take for a checkpoint of pretraining. Reading needs the shape of
 * `network`, whose values it replaces. */
gboolean
gem_variant_network_write(const GemBackboneCheckpoint *network, const char *path, GError **error);
gboolean
gem_variant_network_read(GemBackboneCheckpoint *network, const char *path, GError **error);

/* The values as they run: pruned, and quantized or not. */
void
gem_variant_network_compress(const GemVariant *variant,
                             const GemExportTypes *types,
                             GemBackboneCheckpoint *network);
/* The same of a router's. */
void
gem_variant_router_compress(const GemVariant *variant,
                            const GemExportTypes *types,
                            const GemRouterNetwork *router,
                            float *values);
