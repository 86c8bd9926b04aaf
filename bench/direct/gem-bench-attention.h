/*
 * Attention timed by itself, in the middle of the forward pass: on a runtime whose attention is SCAR, every
 * call to it runs dense attention and each of the model's sets of clusters over the same rows, one after the
 * other, and the model goes on with the result of the set that it would have used anyway.
 */
#pragma once

#include "daemon/engine/gem-runtime.h"

/* Dense attention, then the model's sets in their order. */
#define GEM_BENCH_KINDS_MAX (1u + GEM_MAX_CLUSTER_SETS)

typedef struct _GemBenchAttention GemBenchAttention;

/* Puts itself in the place of the runtime's attention, which must be SCAR, for one sequence of at most
 * `limit` tokens at a time. Errors: FAILED, when the dense module cannot be opened. */
GemBenchAttention *
gem_bench_attention_new(GemRuntime *runtime, guint limit, GError **error);
/* Puts back what was there. */
void
gem_bench_attention_free(GemBenchAttention *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchAttention, gem_bench_attention_free)

/* Forgets tokens and times: a sequence begins. */
void
gem_bench_attention_reset(GemBenchAttention *self);

/* Kinds: 1 + the model's sets. */
guint
gem_bench_attention_count_kinds(const GemBenchAttention *self);
/* Clusters of a kind; 0: dense. */
guint
gem_bench_attention_get_clusters(const GemBenchAttention *self, guint kind);

/* Seconds that a kind took in all layers since the reset, assignment to clusters included. */
double
gem_bench_attention_get_seconds(const GemBenchAttention *self, guint kind);
/* Pairs of tokens that see each other among the first n, summed over the layers; they have run. */
guint64
gem_bench_attention_count_pairs(const GemBenchAttention *self, guint kind, guint n);
