/*
 * The labels of a choice as a tree of tokens. The model is asked only where labels part ("forks"): there the
 * likelihoods of the tokens that go on some label are taken among themselves, and a label's probability is
 * the product over the forks on its way. It is what the model would write if it had to write one of the
 * labels: neither a label's length nor its number of tokens counts, and tokens after the last fork are never
 * run.
 */
#pragma once

#include <glib.h>

typedef struct GemLabelTree GemLabelTree;

/* `labels`: GArray of guint32 each, transfer full; no two alike. None may begin another: end each with a
 * token that no label holds elsewhere. 1 or more. */
GemLabelTree *
gem_label_tree_new(GPtrArray *labels);
/* Wipes the labels: they are a caller's. */
void
gem_label_tree_free(GemLabelTree *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLabelTree, gem_label_tree_free)

/* Fewer than labels. */
guint
gem_label_tree_n_forks(const GemLabelTree *self);

/* The tokens that lead to a fork: [*ret_depth], borrowed; 0 of them where labels part at once. */
const guint32 *
gem_label_tree_get_path(const GemLabelTree *self, guint fork, guint *ret_depth);

/* The logits [vocabulary] that follow a fork's path. Once for each fork. */
void
gem_label_tree_take_logits(GemLabelTree *self, guint fork, const float *logits);

/* One probability a label, in the order of `labels`, summing to 1, when all forks have theirs: array of
 * double. FAILED: a logit of a label's was not finite. */
GArray *
gem_label_tree_get_probabilities(const GemLabelTree *self, GError **error);
