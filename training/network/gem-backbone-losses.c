#include "training/network/gem-backbone-losses.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-backbone-contest.h"
#include "training/network/gem-backbone-internal.h"

void
gem_backbone_logits(
    const GemBackbone *self, const float *values, const float *final, gsize rows, float *logits)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  gem_matmul(FALSE, TRUE, rows, vocab, width, final, width, values + self->output, width, FALSE, logits,
             vocab);
}

/* From the gradient of the logits of `rows` rows, which pass->logits holds, to that of the states `final`. */
static void
logits_backward(const GemBackbone *self,
                const float *values,
                const float *final,
                gsize rows,
                GemBackbonePass *pass,
                const GemGradientMap *map,
                float *gradients,
                float *d_final)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  gem_matmul(FALSE, FALSE, rows, width, vocab, pass->logits, vocab, values + self->output, width, FALSE,
             d_final, width);
  if (map->output != GEM_FROZEN) {
    gem_matmul(TRUE, FALSE, vocab, width, rows, pass->logits, vocab, final, width, TRUE,
               gradients + map->output, width);
  }
}

/* What is known of a batch's rows while they are walked through: rows and forks both rise. */
typedef struct {
  gsize token; /* the next */
  guint fork;  /* the next of the batch's */
} Walk;

/* The fork of the token, over which the walk moves; NULL: it has none. */
static const GemFork *
take_fork(const GemBatch *batch, Walk *walk, gsize token)
{
  const GArray *places = batch->forks->places;
  if (walk->fork >= places->len || g_array_index(places, GemFork, walk->fork).at != token) {
    return NULL;
  }
  return &g_array_index(places, GemFork, walk->fork++);
}

/* From the walk's token on, up to GEM_LOGIT_ROWS tokens whose logits are asked for: those with a target, and
 * of these, when there are gradients to come, those with a weight or a fork. Their states are copied to
 * pass->d_domain. */
static gsize
gather_scored(const GemBatch *batch,
              const float *weights,
              gsize width,
              gboolean learns,
              GemBackbonePass *pass,
              Walk *walk,
              guint32 *scored)
{
  gsize rows = 0;
  for (; walk->token < batch->n && rows < GEM_LOGIT_ROWS; walk->token++) {
    gsize token = walk->token;
    gboolean at_fork = take_fork(batch, walk, token) != NULL;
    if (batch->target[token] >= 0 && (!learns || at_fork || weights[token] != 0.0f)) {
      memcpy(pass->d_domain + rows * width, pass->final + token * width, width * sizeof(float));
      scored[rows++] = (guint32)token;
    }
  }
  return rows;
}

/* -log p(target | the target or one of the others), in nats; gradient[1 + n] = that of the target's logit and
 * of the others'. */
static double
fork_loss(const float *logits, guint target, const guint32 *others, guint32 n, float *gradient)
{
  float top = logits[target], sum;
  for (guint32 i = 0; i < n; i++) {
    top = MAX(top, logits[others[i]]);
  }
  sum = gradient[0] = expf(logits[target] - top);
  for (guint32 i = 0; i < n; i++) {
    gradient[1 + i] = expf(logits[others[i]] - top);
    sum += gradient[1 + i];
  }
  for (guint32 i = 0; i <= n; i++) {
    gradient[i] /= sum;
  }
  gradient[0] -= 1.0f;
  return log((double)sum) + (double)top - (double)logits[target];
}

/* One row: adds its losses to `loss`; its logits become their gradient, that of its cross-entropy times
 * `weight`, which is meaningless when there is none to come. `scratch`: as many floats as the fork has
 * tokens. Returns -log p of the target. */
static double
score_row(const GemBatch *batch,
          float weight,
          guint32 token,
          const GemFork *fork,
          float fork_weight,
          float scale,
          gsize vocab,
          float *logits,
          float *scratch,
          GemLoss *loss)
{
  guint target = (guint)batch->target[token];
  /* of a choice that is not right: no text to be learned */
  gboolean of_contest = fork == NULL && batch->weight[token] == 0.0f && weight != 0.0f;
  const guint32 *others = fork != NULL ? &g_array_index(batch->forks->others, guint32, fork->first) : NULL;
  double parting = fork != NULL ? fork_loss(logits, target, others, fork->n, scratch) : 0.0;
  double nats = gem_cross_entropy_row(logits, vocab, target, weight * scale);
  if (weight * scale == 0.0f) {
    memset(logits, 0, vocab * sizeof(float));
  }
  if (fork != NULL) {
    logits[target] += fork_weight * scale * scratch[0];
    for (guint32 i = 0; i < fork->n; i++) {
      logits[others[i]] += fork_weight * scale * scratch[1 + i];
    }
  }
  if (!of_contest) {
    loss->loss += nats;
    loss->tokens++;
  }
  loss->weighted_loss += nats * (double)batch->weight[token] + parting * (double)fork_weight;
  return nats;
}

static guint32
most_others(const GemForks *forks)
{
  guint32 most = 0;
  for (guint i = 0; i < forks->places->len; i++) {
    most = MAX(most, g_array_index(forks->places, GemFork, i).n);
  }
  return most;
}

/* pass->d_domain and pass->domain_out, which the feed-forwards need before and after, hold the rows' states
 * and their gradients. */
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
  gsize width = self->shape.width, vocab = self->shape.vocab, rows;
  g_autofree float *scratch = g_new(float, 1 + most_others(batch->forks));
  guint32 scored[GEM_LOGIT_ROWS];
  Walk gathered = {0}, walked = {0};
  g_autofree float *weights = g_memdup2(batch->weight, batch->n * sizeof(float));
  GemLoss loss = {.weighted_loss = gem_backbone_weigh_contests(self, values, batch, pass, weights)};
  if (map != NULL) {
    memset(pass->d_norm, 0, batch->n * width * sizeof(float));
  }
  if (token_loss != NULL) {
    memset(token_loss, 0, batch->n * sizeof(float));
  }
  while ((rows = gather_scored(batch, weights, width, map != NULL, pass, &gathered, scored)) > 0) {
    gem_backbone_logits(self, values, pass->d_domain, rows, pass->logits);
    for (gsize i = 0; i < rows; i++) {
      const GemFork *fork = take_fork(batch, &walked, scored[i]);
      float fork_weight = fork != NULL ? g_array_index(batch->fork_weight, float, walked.fork - 1) : 0.0f;
      double nats = score_row(batch, weights[scored[i]], scored[i], fork, fork_weight, scale, vocab,
                              pass->logits + i * vocab, scratch, &loss);
      if (token_loss != NULL) {
        token_loss[scored[i]] = (float)nats;
      }
    }
    if (map != NULL && scale != 0.0f) {
      logits_backward(self, values, pass->d_domain, rows, pass, map, gradients, pass->domain_out);
      for (gsize i = 0; i < rows; i++) {
        memcpy(pass->d_norm + scored[i] * width, pass->domain_out + i * width, width * sizeof(float));
      }
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
    gem_backbone_logits(self, teacher_values, teacher_final + first * width, rows, pass->teacher);
    gem_backbone_logits(self, values, pass->final + first * width, rows, pass->logits);
    for (gsize i = 0; i < rows; i++) {
      loss += gem_divergence_row(pass->teacher + i * vocab, pass->logits + i * vocab, vocab, scale);
    }
    if (map != NULL) {
      logits_backward(self, values, pass->final + first * width, rows, pass, map, gradients,
                      pass->d_norm + first * width);
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
