/*
 * Attention timed by itself, in the middle of the forward pass: on a runtime whose attention is SCAR, any of
 * its kinds (dense, or one of the model's sets of clusters) can be put to use, and what it takes from the
 * rotated query and key on is summed. Making room for more rows, which all kinds do now and then, is not in
 * it, but the first touch of what is new is: storing writes there first, and has its page faults and the
 * kernel's clearing of pages.
 */
#pragma once

#include "daemon/engine/gem-runtime.h"
#include "daemon/engine/gem-sequence-state.h"

/* Dense attention, then the model's sets in their order. */
#define GEM_BENCH_KINDS_MAX (1u + GEM_MAX_CLUSTER_SETS)

typedef struct _GemBenchAttention GemBenchAttention;

/* In all layers. */
typedef struct {
  double assign;  /* seconds: finding the rows' clusters */
  double store;   /* finding places for keys and values, and storing them: once in order, and with clusters
                   * once more in their lists */
  double attend;  /* finding what rows see, and attending */
  guint64 stored; /* rows that were stored, each as often as it was */
} GemBenchAttentionCost;

/* Seconds of all three. */
double
gem_bench_attention_cost_sum(const GemBenchAttentionCost *cost);
void
gem_bench_attention_cost_add(GemBenchAttentionCost *self, const GemBenchAttentionCost *other);

/* Puts itself in the place of the runtime's attention, which must be SCAR, and before its backend; one at a
 * time. Errors: FAILED, when the dense module cannot be opened. */
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

/* What attention took since it was asked last. */
GemBenchAttentionCost
gem_bench_attention_take_cost(GemBenchAttention *self);

/* Pairs of tokens of a sequence of that kind that see each other, summed over the layers. */
guint64
gem_bench_attention_count_pairs(const GemBenchAttention *self, guint kind, const GemSequenceState *sequence);
