#include "training/gem-backbone-losses.h"

#include <math.h>
#include <string.h>

#include "training/gem-backbone-internal.h"
#include "training/gem-matmul.h"
#include "training/gem-vector.h"

static void
logits_of(const GemBackbone *self, const float *values, const float *final, gsize rows, float *logits)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  gem_matmul(FALSE, TRUE, rows, vocab, width, final, width, values + self->output, width, FALSE, logits,
             vocab);
}

/* From the gradient of the logits of `rows` rows, which pass->logits holds, to that of the states. */
static void
logits_backward(const GemBackbone *self,
                const float *values,
                gsize first,
                gsize rows,
                GemBackbonePass *pass,
                const GemGradientMap *map,
                float *gradients)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  gem_matmul(FALSE, FALSE, rows, width, vocab, pass->logits, vocab, values + self->output, width, FALSE,
             pass->d_norm + first * width, width);
  if (map->output != GEM_FROZEN) {
    gem_matmul(TRUE, FALSE, vocab, width, rows, pass->logits, vocab, pass->final + first * width, width, TRUE,
               gradients + map->output, width);
  }
}

void
gem_backbone_loss_task(const GemBackbone *self,
                       const float *values,
                       const GemBatch *batch,
                       float scale,
                       GemBackbonePass *pass,
                       const GemGradientMap *map,
                       float *gradients,
                       float *token_loss,
                       GemLoss *ret_loss)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  GemLoss loss = {0};
  for (gsize first = 0; first < batch->n; first += GEM_LOGIT_ROWS) {
    gsize rows = MIN(batch->n - first, GEM_LOGIT_ROWS);
    logits_of(self, values, pass->final + first * width, rows, pass->logits);
    for (gsize i = 0; i < rows; i++) {
      gint32 target = batch->target[first + i];
      float *logits = pass->logits + i * vocab, weight = batch->weight[first + i];
      double nats = 0.0;
      if (target >= 0) {
        nats = gem_cross_entropy_row(logits, vocab, (guint)target, weight * scale);
        loss.loss += nats;
        loss.weighted_loss += nats * (double)weight;
        loss.tokens++;
      }
      if (map != NULL && (target < 0 || weight * scale == 0.0f)) {
        memset(logits, 0, vocab * sizeof(float));
      }
      if (token_loss != NULL) {
        token_loss[first + i] = (float)nats;
      }
    }
    if (map != NULL) {
      logits_backward(self, values, first, rows, pass, map, gradients);
    }
  }
  *ret_loss = loss;
}

double
gem_backbone_loss_distill(const GemBackbone *self,
                          const float *values,
                          const GemBatch *batch,
                          float scale,
                          GemBackbonePass *pass,
                          const float *teacher_values,
                          const float *teacher_final,
                          const GemGradientMap *map,
                          float *gradients)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  double loss = 0.0;
  if (pass->teacher == NULL) {
    pass->teacher = g_new(float, (gsize)GEM_LOGIT_ROWS *vocab);
  }
  for (gsize first = 0; first < batch->n; first += GEM_LOGIT_ROWS) {
    gsize rows = MIN(batch->n - first, GEM_LOGIT_ROWS);
    logits_of(self, teacher_values, teacher_final + first * width, rows, pass->teacher);
    logits_of(self, values, pass->final + first * width, rows, pass->logits);
    for (gsize i = 0; i < rows; i++) {
      loss += gem_divergence_row(pass->teacher + i * vocab, pass->logits + i * vocab, vocab, scale);
    }
    if (map != NULL) {
      logits_backward(self, values, first, rows, pass, map, gradients);
    }
  }
  return loss;
}

/* The mean state of a sequence, made a unit vector; returns the length that the mean had. */
static double
feature_of(const float *final, gsize n, gsize width, float *feature)
{
  memset(feature, 0, width * sizeof(float));
  for (gsize i = 0; i < n; i++) {
    gem_vector_add(feature, final + i * width, width);
  }
  gem_vector_scale(feature, 1.0f / (float)n, width);
  double length = sqrt(gem_vector_square_sum(feature, width) + 1e-12);
  gem_vector_scale(feature, (float)(1.0 / length), width);
  return length;
}

void
gem_backbone_features(const GemBackbone *self,
                      const GemBatch *batch,
                      const GemBackbonePass *pass,
                      float *features)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize width = self->shape.width;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    feature_of(pass->final + start[s] * width, start[s + 1] - start[s], width, features + s * width);
  }
}

/* InfoNCE of one anchor; d_anchor[width] = its gradient. shares[1 + n_negatives] is scratch. */
static double
info_nce(const float *anchor,
         const float *positive,
         const float *negatives,
         gsize n_negatives,
         gsize width,
         double temperature,
         double *shares,
         float *d_anchor)
{
  double top = -INFINITY, sum = 0.0;
  for (gsize j = 0; j <= n_negatives; j++) {
    const float *other = j == 0 ? positive : negatives + (j - 1) * width;
    shares[j] = 0.0;
    for (gsize i = 0; i < width; i++) {
      shares[j] += (double)anchor[i] * (double)other[i] / temperature;
    }
    top = MAX(top, shares[j]);
  }
  double wanted = shares[0];
  for (gsize j = 0; j <= n_negatives; j++) {
    shares[j] = exp(shares[j] - top);
    sum += shares[j];
  }
  memset(d_anchor, 0, width * sizeof(float));
  for (gsize j = 0; j <= n_negatives; j++) {
    const float *other = j == 0 ? positive : negatives + (j - 1) * width;
    double pull = (shares[j] / sum - (j == 0 ? 1.0 : 0.0)) / temperature;
    gem_vector_add_scaled(d_anchor, other, (float)pull, width);
  }
  return log(sum) + top - wanted;
}

double
gem_backbone_loss_contrast(const GemBackbone *self,
                           const GemBatch *batch,
                           float scale,
                           GemBackbonePass *pass,
                           const float *positives,
                           const float *negatives,
                           gsize n_negatives,
                           double temperature,
                           gboolean adds_gradient)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize width = self->shape.width;
  g_autofree float *anchor = g_new(float, width), *d_anchor = g_new(float, width);
  g_autofree double *shares = g_new(double, n_negatives + 1);
  double loss = 0.0;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gsize n = start[s + 1] - start[s];
    double length = feature_of(pass->final + start[s] * width, n, width, anchor);
    loss +=
        info_nce(anchor, positives + s * width, negatives, n_negatives, width, temperature, shares, d_anchor);
    double along = 0.0; /* a unit vector does not change along itself */
    for (gsize i = 0; i < width; i++) {
      along += (double)d_anchor[i] * (double)anchor[i];
    }
    gem_vector_add_scaled(d_anchor, anchor, (float)-along, width);
    for (gsize i = start[s]; adds_gradient && i < start[s + 1]; i++) {
      gem_vector_add_scaled(pass->d_norm + i * width, d_anchor, scale / (float)(length * (double)n), width);
    }
  }
  return loss;
}
