/* Whether a figure rises with how much a model is compressed, with the spread that the choice of tasks gives.
 */
#pragma once

#include "training/experiment/gem-variant-score.h"

/* Spearman's rank correlation, equal values sharing their ranks; NAN where one of both does not vary. */
double
gem_rank_correlation(const double *x, const double *y, guint n);

typedef struct {
  double correlation, low, high; /* of all tasks; 2.5 and 97.5 percent of the resamples */
} GemVariantTrendFigure;

typedef enum {
  GEM_GAP_SAME_TASKS, /* gem_variant_score_gap */
  GEM_GAP_ROUTED,     /* gem_variant_score_gg, routed */
  GEM_GAP_FORCED,     /* gem_variant_score_gg, through each pathway */
  GEM_GAPS
} GemVariantGap;

/* Of the gap with `intensity` [n], over tasks resampled within each domain, the same for all of the `n`
 * scores. All NAN where there is no such gap. */
GemVariantTrendFigure
gem_variant_trend(GemVariantScore *const *scores,
                  const double *intensity,
                  guint n,
                  GemVariantGap gap,
                  guint resamples,
                  guint64 seed);

/* "rises", "falls", or "neither" where the interval holds 0; "unknown" without one. */
const char *
gem_variant_trend_verdict(const GemVariantTrendFigure *figure);
