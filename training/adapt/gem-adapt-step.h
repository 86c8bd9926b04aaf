/* The losses of one lane's text and replayed text in one step, and their gradient. */
#pragma once

#include "training/adapt/gem-learned-tensors.h"

typedef struct {
  const GemBackbone *backbone;
  const float *centroids;
  int cluster_set;
  GemLearns learns;
  gint8 domain;
  double temperature;          /* of the contrast */
  const float *teacher_values; /* NULL: the values that learn, with the residual off */
  GemBackbonePass *student, *teacher;
  float *positives, *negatives; /* unit features, [sequences][width], grown as needed */
  gsize positives_size, negatives_size;
  gint8 *routes; /* the teacher's, while the student runs; [tokens], grown as needed */
  gsize routes_size;
} GemAdaptStep;

/* `teacher_values` is borrowed: the network at the start, for one that is not frozen. */
GemAdaptStep *
gem_adapt_step_new(const GemBackbone *backbone,
                   const float *centroids,
                   int cluster_set,
                   GemLearns learns,
                   gint8 domain,
                   double temperature,
                   const float *teacher_values);
void
gem_adapt_step_free(GemAdaptStep *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptStep, gem_adapt_step_free)

/* What each sum is times in the whole loss. */
typedef struct {
  float task;     /* of weighted cross-entropies, over tokens */
  float distill;  /* of divergences, over tokens of replayed text; 0 and no contrast: it is not run */
  float contrast; /* of InfoNCE, over its sequences */
} GemAdaptScales;

typedef struct {
  double loss, weighted_loss; /* sums over tokens, as GemLoss has them */
  gsize tokens;
  double distillation; /* sum over replayed tokens */
  gsize replay_tokens;
  double contrast; /* sum over replayed sequences */
  gsize replay_sequences;
  double quantization; /* sum of squares; the caller's */
} GemAdaptFigures;

/* Adds to the gradients, as `map` lays them out (NULL: losses alone), and to the figures. `replayed` may hold
 * no sequence; its routes are the teacher's, and are as they were afterwards. The negatives of the contrast
 * are the features of `batch` in the same pass, held. */
void
gem_adapt_step_run(GemAdaptStep *self,
                   const float *values,
                   const GemBatch *batch,
                   GemBatch *replayed,
                   const GemAdaptScales *scales,
                   const GemGradientMap *map,
                   float *gradients,
                   GemAdaptFigures *figures);
