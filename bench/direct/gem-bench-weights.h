/* Bytes of weights that one token reads, in the form of the model's files. */
#pragma once

#include "format/gem-model-files.h"

typedef struct {
  guint64 general;                  /* what every token runs through */
  guint64 router;                   /* the router, for a token of its own */
  guint64 domains[GEM_MAX_DOMAINS]; /* a domain's feed-forward; 0 until it was counted */
} GemBenchWeights;

/* `clusters`: of the set of centroids that SCAR compares with, 0 for dense attention. An embedding that is
 * not the output matrix too counts nothing: one row is read. `files` still has its GGUF files. */
void
gem_bench_weights_count(const GemModelFiles *files, guint clusters, GemBenchWeights *ret_weights);
/* Counts a domain's; errors of its file. */
gboolean
gem_bench_weights_count_domain(GemBenchWeights *self, GemModelFiles *files, guint domain, GError **error);
