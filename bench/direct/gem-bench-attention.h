/*
 * Attention timed by itself, in the middle of the forward pass: on a runtime whose attention is SCAR, any of
 * its kinds (dense, or one of the model's sets of clusters) can be put to use, and the time that it takes is
 * summed.
 */
#pragma once

#include "daemon/engine/gem-runtime.h"
#include "daemon/engine/gem-sequence-state.h"

/* Dense attention, then the model's sets in their order. */
#define GEM_BENCH_KINDS_MAX (1u + GEM_MAX_CLUSTER_SETS)

typedef struct _GemBenchAttention GemBenchAttention;

/* Puts itself in the place of the runtime's attention, which must be SCAR. Errors: FAILED, when the dense
 * module cannot be opened. */
GemBenchAttention *
gem_bench_attention_new(GemRuntime *runtime, GError **error);
/* Puts back what was there. */
void
gem_bench_attention_free(GemBenchAttention *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchAttention, gem_bench_attention_free)

/* Kinds: 1 + the model's sets. */
guint
gem_bench_attention_count_kinds(const GemBenchAttention *self);
/* Clusters of a kind; 0: dense. */
guint
gem_bench_attention_get_clusters(const GemBenchAttention *self, guint kind);

/* What runs from now on: sequences are made, and run, while their kind is in use. */
void
gem_bench_attention_use(GemBenchAttention *self, guint kind);

/* Seconds that attention took in all layers since it was asked last: assignment to clusters, finding what
 * tokens see, and attending; not the storing of keys and values. */
double
gem_bench_attention_take_seconds(GemBenchAttention *self);

/* Pairs of tokens of a sequence of that kind that see each other, summed over the layers. */
guint64
gem_bench_attention_count_pairs(const GemBenchAttention *self, guint kind, const GemSequenceState *sequence);
