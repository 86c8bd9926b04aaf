/* What the answers to a task's lines are worth. */
#pragma once

#include "bench/edge/gem-edge-plan.h"
#include "bench/edge/gem-edge-spread.h"

typedef enum {
  GEM_EDGE_ACCURACY,
  GEM_EDGE_MACRO_F1,
  GEM_EDGE_TOKEN_F1,
  GEM_EDGE_EXACT_MATCH,
  GEM_EDGE_ROUGE_L,
  GEM_EDGE_MENTION_F1,
  GEM_EDGE_MENTION_PRECISION,
  GEM_EDGE_MENTION_RECALL,
  GEM_EDGE_N_METRICS,
} GemEdgeMetric;

/* "accuracy", "macro_f1" ... */
const char *
gem_edge_metric_name(GemEdgeMetric metric);

/* The metric that counts as a task's F1, and all that its form has. */
GemEdgeMetric
gem_edge_form_metric(GemEdgeForm form);
gboolean
gem_edge_form_has_metric(GemEdgeForm form, GemEdgeMetric metric);

/* Figures that there are none of are NAN. */
typedef struct {
  guint fates[GEM_BENCH_N_FATES]; /* of the lines that were asked */
  guint truncated;                /* answers that hit the bound of tokens */
  GemEdgeScore metrics[GEM_EDGE_N_METRICS];
  /* Of choices: the labels of a line; whether all lines have the same in the same order. If so the classes of
   * macro-F1 are the labels, otherwise their positions. */
  guint fewest_labels, most_labels;
  gboolean shared_labels;
  double chance_accuracy, chance_f1; /* of guessing; an answer that is written is never guessed: F1 0 */
  /* Of always giving the most frequent target as the answer; NAN for choices without shared labels. */
  double majority_accuracy, majority_f1;
} GemEdgeTaskScore;

/* `items`: of const GemEdgeItem *, all of this task. */
void
gem_edge_score_task(const GemEdgeTask *task, const GPtrArray *items, GemEdgeTaskScore *ret_score);

/* The F1 that counts. */
GemEdgeScore
gem_edge_score_get_f1(const GemEdgeTask *task, const GemEdgeTaskScore *score);

/* The share of answers that are right: accuracy of choices, exact match of what is written. */
double
gem_edge_score_get_accuracy(const GemEdgeTask *task, const GemEdgeTaskScore *score);

/* The accuracy that skill is measured against: the majority's, or chance where there is none. */
double
gem_edge_score_get_baseline(const GemEdgeTaskScore *score);

/* Whether an accuracy on n lines is above another by two standard errors that the other would have there. */
gboolean
gem_edge_score_beats(double accuracy, double other, guint n);

/* The same of a model's accuracy on these lines, which is by chance as much as ours is: by two standard
 * errors of the difference. */
gboolean
gem_edge_score_beats_model(double accuracy, double other, guint n);
