/* A linear choice among candidates that differ from line to line: p(candidate) = softmax over the line's
 * candidates of w x (conditional logistic regression). */
#pragma once

#include "bench/baseline/gem-baseline-features.h"

typedef struct _GemBaselineRanker GemBaselineRanker;

/* To be fitted to lines whose candidates are successive rows: line i's end before row `ends[i]`, and the
 * right one is its `targets[i]`-th. All are borrowed. */
GemBaselineRanker *
gem_baseline_ranker_new(
    const GemBaselineRows *rows, guint n_features, const guint *ends, const guint *targets, guint n_lines);
void
gem_baseline_ranker_free(GemBaselineRanker *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineRanker, gem_baseline_ranker_free)

/* Minimises the sum over lines of -log p(right one), times `freedom`, plus half the sum of squared weights,
 * from where an earlier fit has ended. */
void
gem_baseline_ranker_fit(GemBaselineRanker *self, double freedom);

/* Of each of `n_lines` lines the candidate of the highest p, the first of equal ones. Transfer full. */
guint *
gem_baseline_ranker_choose(const GemBaselineRanker *self,
                           const GemBaselineRows *rows,
                           const guint *ends,
                           guint n_lines);
