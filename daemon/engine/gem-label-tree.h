/*
 * The labels of a choice as a tree of tokens. Each label is scored by its length-normalised likelihood, the
 * mean of log p over its tokens, as the model would write it after the text; what labels begin with alike is
 * run once. A label's probability is its share of exp(GEM_LABEL_SHARPNESS * score).
 */
#pragma once

#include <glib.h>

/* Odds of two labels, for a difference of their means of 1 nat: e^4. Choices are taught so
 * (training/network/gem-backbone-contest.h). */
#define GEM_LABEL_SHARPNESS 4.0

typedef struct GemLabelTree GemLabelTree;

/* `labels`: GArray of guint32 each, transfer full; no two alike. None may begin another: end each with a
 * token that no label holds elsewhere. 1 or more. */
GemLabelTree *
gem_label_tree_new(GPtrArray *labels);
/* Wipes the labels: they are a caller's. */
void
gem_label_tree_free(GemLabelTree *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLabelTree, gem_label_tree_free)

/* How many times tokens are to be run after the text for all labels. */
guint
gem_label_tree_n_runs(const GemLabelTree *self);

/* The tokens of a run: [*ret_n], borrowed, 1 or more. The logits after its first 1 .. *ret_first - 1 tokens
 * have been asked for by runs before it. */
const guint32 *
gem_label_tree_get_run(const GemLabelTree *self, guint run, guint *ret_n, guint *ret_first);

/* The logits [n] that follow the first `depth` tokens of a run, ret_first <= depth <= n; of depth 0, which is
 * the end of the text, once and of any run. The likelihoods of all n tokens sum to 1. */
void
gem_label_tree_take_logits(GemLabelTree *self, guint run, guint depth, const float *logits, gsize n);

/* One probability a label, in the order of `labels`, summing to 1, when all runs have theirs: array of
 * double. FAILED: a logit of a label's was not finite. */
GArray *
gem_label_tree_get_probabilities(const GemLabelTree *self, GError **error);
