/* Multinomial logistic regression over rows of features: p(class) = softmax(W x + b). */
#pragma once

#include "bench/baseline/gem-baseline-features.h"

typedef struct _GemBaselineLinear GemBaselineLinear;

/* To be fitted to `rows`, of `n_features`, and their `classes` [rows], each below `n_classes`; all are
 * borrowed. */
GemBaselineLinear *
gem_baseline_linear_new(const GemBaselineRows *rows, guint n_features, const guint *classes, guint n_classes);
void
gem_baseline_linear_free(GemBaselineLinear *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineLinear, gem_baseline_linear_free)

/* Minimises the sum over rows of -log p(class), times `freedom`, plus half the sum of squared weights (not of
 * b), from where an earlier fit has ended. */
void
gem_baseline_linear_fit(GemBaselineLinear *self, double freedom);

/* The class of the highest p, the lowest of equal ones, for each of `rows`. Transfer full. */
guint *
gem_baseline_linear_choose(const GemBaselineLinear *self, const GemBaselineRows *rows);
