/*
 * Forgetting over a sequence of adaptations (model.md): for each earlier task that was clearly above
 * majority, (best earlier score - final score) / (best earlier score - majority), not floored, mean over
 * tasks. A score is the accuracy on the task's items.
 *
 * The best of several scores on the same items is above what it would be on others, the more the more answers
 * change from stage to stage, so that this definition alone finds forgetting where scores only fluctuate. The
 * other measures say how much that makes.
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

typedef enum {
  GEM_FORGETTING_BEST,    /* the definition */
  GEM_FORGETTING_CROSSED, /* the best stage of the even items scored on the odd ones and the other way round
                           */
  GEM_FORGETTING_POOLED,  /* the definition's differences summed over tasks, over the sum of its scales */
  GEM_FORGETTING_OWN,     /* the definition, where no stage before that of the task's own domain is earlier */
  GEM_FORGETTING_MEASURES
} GemForgettingMeasure;

/* The share of right answers at a stage, of all items or (picks, [items]) of those. */
double
gem_forgetting_score(const GemForgettingTask *task, guint stage, const guint32 *picks);

/* Whether the task has a say: adapted before the last stage, and its best earlier score more than two
 * standard errors above majority. */
gboolean
gem_forgetting_counts(const GemForgettingTask *task, guint stages, GemForgettingMeasure measure);

/* Forgetting of one task, of all items or (picks) of those. The scale, best earlier score - majority, is that
 * of all items. So is the stage of the best earlier score, but in the crossed measure, whose halves of the
 * picks choose for each other. */
double
gem_forgetting_of_task(const GemForgettingTask *task,
                       guint stages,
                       GemForgettingMeasure measure,
                       const guint32 *picks);

/* What is drawn anew, with return, in each resample. */
typedef enum {
  GEM_FORGETTING_ITEMS, /* of each task: other items of the same tasks */
  GEM_FORGETTING_TASKS, /* the tasks, each with its items as they are and in all runs: other tasks */
} GemForgettingDrawn;

/* The spread of a figure over resamples. */
typedef struct {
  double mean, low, high; /* of all items and tasks; 2.5 and 97.5 percent of the resamples */
} GemForgettingFigure;

/* The same tasks in the same order in each run, of the same items. */
typedef struct {
  const GemForgettingTask *tasks; /* [runs][tasks] */
  guint n_runs, n_tasks, stages;
} GemForgettingRuns;

typedef struct {
  GemForgettingFigure forgetting; /* mean over runs of the mean over tasks */
  GemForgettingFigure others;
  GemForgettingFigure difference; /* others - forgetting, in the same resamples */
  GemForgettingFigure reduction; /* 1 - forgetting / others; resamples where others forget nothing left out */
  gboolean has_reduction;        /* the interval of `others` is above 0: else there is nothing to divide by */
  guint counted;                 /* tasks, over all runs */
} GemForgettingComparison;

/* Over the tasks that count in both a run and its other, or (others NULL; all but `forgetting` and `counted`
 * is 0) in the run. What is drawn is the same for all runs. */
void
gem_forgetting_compare(const GemForgettingRuns *runs,
                       const GemForgettingRuns *others,
                       GemForgettingMeasure measure,
                       GemForgettingDrawn drawn,
                       guint resamples,
                       guint64 seed,
                       GemForgettingComparison *ret_comparison);
