/*
 * The losses on the states that a forward pass ends with: the task's cross-entropy, distillation and contrast
 * (model.md, "Training and adaptive knowledge preservation"). With a map the first two write the gradient of
 * those states into the pass, for gem_backbone_backward, and add that of the output matrix where it learns;
 * contrast adds to it. Without a map only the loss is computed.
 */
#pragma once

#include "training/network/gem-backbone.h"

/* Cross-entropy of each token's target, of each fork's among the tokens that it is to be told from, and of
 * each contest's right choice (gem-backbone-contest.h); the gradient is that of scale * weighted_loss.
 * `token_loss`: [n] or NULL, as in gem_backbone_run. */
void
gem_backbone_loss_task(const GemBackbone *self,
                       const float *values,
                       const GemBatch *batch,
                       float scale,
                       GemBackbonePass *pass,
                       const GemGradientMap *map,
                       float *gradients,
                       float *token_loss,
                       GemLoss *ret_loss);

/* Sum over all tokens of KL(teacher || student) in nats, whose gradient is times `scale`. The teacher is the
 * states `teacher_final` [n][width] under the output matrix of `teacher_values`, both held. */
double
gem_backbone_loss_distill(const GemBackbone *self,
                          const float *values,
                          const GemBatch *batch,
                          float scale,
                          GemBackbonePass *pass,
                          const float *teacher_values,
                          const float *teacher_final,
                          const GemGradientMap *map,
                          float *gradients);

/* What a text is to the contrast: the mean of its final states, of unit length. features[n_sequences][width].
 */
void
gem_backbone_features(const GemBackbone *self,
                      const GemBatch *batch,
                      const GemBackbonePass *pass,
                      float *features);

/* Sum over sequences of InfoNCE: the pass's feature of a sequence is the anchor, its row of
 * positives[n_sequences][width] what it is to be like, negatives[n_negatives][width] what it is not; cosine
 * over `temperature`; both are held. With `adds_gradient` the gradient, times `scale`, is added to that which
 * the pass has. */
double
gem_backbone_loss_contrast(const GemBackbone *self,
                           const GemBatch *batch,
                           float scale,
                           GemBackbonePass *pass,
                           const float *positives,
                           const float *negatives,
                           gsize n_negatives,
                           double temperature,
                           gboolean adds_gradient);
