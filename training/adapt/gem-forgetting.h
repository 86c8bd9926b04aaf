/*
 * Forgetting over a sequence of adaptations (model.md): for each earlier task that was clearly above
 * majority, (best earlier score - final score) / (best earlier score - majority), not floored, mean over
 * tasks. A score is the accuracy on the task's items.
 */
#pragma once

#include <glib.h>

/* One task in one run. */
typedef struct {
  double majority;
  guint items;
  guint adapted;        /* the stage, from 1, in which its domain was adapted */
  const guint8 **right; /* [stages + 1] of [items], 0 or 1; stage 0 is the start; NULL: not measured then */
} GemForgettingTask;

/* The share of right answers at a stage, of all items or (picks, [items]) of those. */
double
gem_forgetting_score(const GemForgettingTask *task, guint stage, const guint32 *picks);

/* Whether the task has a say: adapted before the last stage, and its best earlier score more than two
 * standard errors above majority. */
gboolean
gem_forgetting_counts(const GemForgettingTask *task, guint stages);

/* Forgetting of one task. The stage of the best earlier score is that of all items, also when items are
 * picked. */
double
gem_forgetting_of_task(const GemForgettingTask *task, guint stages, const guint32 *picks);

/* The spread of a figure over resamples. */
typedef struct {
  double mean, low, high; /* of all items; 2.5 and 97.5 percent of the resamples */
} GemForgettingFigure;

/* `n_runs` runs of `n_tasks` tasks each, run by run, in the same order, of the same items: the mean over runs
 * of the mean over tasks that count in both a run and its `other` (NULL: of the run alone), and, with others,
 * the reduction 1 - mean / mean of others; both resampled by items, the same for all runs. Where others
 * have forgotten nothing there is no reduction: 0, and such resamples are left out. */
void
gem_forgetting_compare(const GemForgettingTask *runs,
                       const GemForgettingTask *others,
                       guint n_runs,
                       guint n_tasks,
                       guint stages,
                       guint resamples,
                       guint64 seed,
                       GemForgettingFigure *ret_forgetting,
                       GemForgettingFigure *ret_reduction,
                       guint *ret_counted);
