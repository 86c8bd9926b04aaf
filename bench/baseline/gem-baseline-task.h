/* What a task gives to those who hardly look: chance, the most frequent answer, and a linear model of its
 * words. */
#pragma once

#include <gio/gio.h>

#include "bench/edge/gem-edge-spread.h"

/* F1 is macro-F1 over the labels, or, where those differ from line to line, over their positions; of lists
 * that of their entries (gem_edge_mention_f1), and accuracy that a list is right as a whole. */
typedef struct {
  GemEdgeScore accuracy, f1;
} GemBaselineScore;

/* The splits that are scored. */
typedef enum { GEM_BASELINE_DEV, GEM_BASELINE_TEST, GEM_BASELINE_N_SPLITS } GemBaselineSplit;

typedef struct {
  guint n, skipped;        /* lines scored; left out for unusable labels */
  GemBaselineScore chance; /* what guessing with dice comes to in the mean; without an error; NAN of lists */
  GemBaselineScore
      majority; /* always the label that train has most often; where labels differ, the position */
  GemBaselineScore linear;
} GemBaselineFigures;

typedef struct {
  GemBaselineFigures splits[GEM_BASELINE_N_SPLITS];
  guint n_train; /* lines that were learned from */
  guint fewest_labels, most_labels;
  gboolean shared; /* the same labels everywhere */
  gboolean
      lists; /* the lines have no labels, but few answers, which are lists of labels: each is taken for one */
  /* Of the linear model that dev has chosen. */
  double freedom;
  guint n_features;
  gboolean fields; /* whether it tells the fields of the input apart */
} GemBaselineResult;

/* "dev", "test". */
const char *
gem_baseline_split_name(GemBaselineSplit split);

/* The baselines of the choice task `task` ("DOMAIN/NAME") of the folder `data`. What is learned is learned
 * from train, what is chosen is chosen by the accuracy on dev. Nothing depends on dice. FALSE without `error`
 * when the task has no labels to choose from; errors name file and line. */
gboolean
gem_baseline_task_run(const char *data, const char *task, GemBaselineResult *ret_result, GError **error);
