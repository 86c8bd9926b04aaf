/* How far scores may be off, and what they are without any skill. */
#pragma once

#include <glib.h>

/* A score with its standard error. */
typedef struct {
  double value, standard_error;
} GemEdgeScore;

/* The mean of n values and its standard error, s / sqrt(n) with s of n - 1; both NAN when there are none, and
 * the error of a single one. */
GemEdgeScore
gem_edge_score_mean(const double *values, gsize n);

/* A figure of lines of which `drawn` [n] tells which, some of them more than once. */
typedef double (*GemEdgeStatistic)(const guint *drawn, gsize n, gconstpointer data);

/* The figure of all n lines, and as its standard error the spread of the same figure over lines drawn anew
 * with return (bootstrap, 200 times, the same every time). */
GemEdgeScore
gem_edge_score_bootstrap(gsize n, GemEdgeStatistic statistic, gconstpointer data);

/* The mean of independent scores: an error of sqrt(sum of squares) / n. */
GemEdgeScore
gem_edge_score_combine(const GemEdgeScore *scores, gsize n);

/* Macro-F1 of guessing each of n lines' `labels` (their number, above the target) equally often: of the
 * counts that are to be expected, 2 right / (targets + guesses) a class, mean over classes that are targets
 * or are guessed. NAN without lines. */
double
gem_edge_chance_f1(const guint *targets, const guint *labels, gsize n);

/* The same of always naming the most frequent of n targets below `classes`. */
double
gem_edge_majority_f1(const guint *targets, gsize n, guint classes);
