#include "training/network/gem-backbone-contest.h"

#include <math.h>

#include "training/arithmetic/gem-vector.h"

/* The rows of one choice: row i predicts its i-th token. */
typedef struct {
  gsize first, n;
} Rows;

static Rows
rows_of(const GemBatch *batch, const GemContest *contest, guint choice)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data + contest->sequence + choice;
  return (Rows){.first = start[0] + contest->answer - 1, .n = start[1] - start[0] - contest->answer};
}

/* Sum over the rows of -log p of their targets. */
static double
sum_of_nats(
    const GemBackbone *self, const float *values, const GemBatch *batch, Rows rows, GemBackbonePass *pass)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  double sum = 0.0;
  for (gsize done = 0; done < rows.n; done += GEM_LOGIT_ROWS) {
    gsize first = rows.first + done, n = MIN(rows.n - done, GEM_LOGIT_ROWS);
    gem_backbone_logits(self, values, pass->final + first * width, n, pass->logits);
    for (gsize i = 0; i < n; i++) {
      sum += gem_cross_entropy_row(pass->logits + i * vocab, vocab, (guint)batch->target[first + i], 0.0f);
    }
  }
  return sum;
}

/* -log P(right); shares[n] becomes P of each choice, from their scores. */
static double
take_shares(double *shares, guint n)
{
  double top = shares[0], sum = 0.0, right = shares[0];
  for (guint c = 1; c < n; c++) {
    top = MAX(top, shares[c]);
  }
  for (guint c = 0; c < n; c++) {
    shares[c] = exp(shares[c] - top);
    sum += shares[c];
  }
  for (guint c = 0; c < n; c++) {
    shares[c] /= sum;
  }
  return log(sum) + top - right;
}

static double
weigh_contest(const GemBackbone *self,
              const float *values,
              const GemBatch *batch,
              const GemContest *contest,
              GemBackbonePass *pass,
              float *weights)
{
  g_autofree double *shares = g_new(double, contest->n);
  for (guint c = 0; c < contest->n; c++) {
    Rows rows = rows_of(batch, contest, c);
    shares[c] = -GEM_CONTEST_SHARPNESS * sum_of_nats(self, values, batch, rows, pass) / (double)rows.n;
  }
  double loss = take_shares(shares, contest->n);
  for (guint c = 0; c < contest->n; c++) {
    Rows rows = rows_of(batch, contest, c);
    double wanted = c == 0 ? 1.0 : 0.0;
    for (gsize i = 0; i < rows.n; i++) {
      weights[rows.first + i] +=
          (float)((double)contest->weight * (wanted - shares[c]) * GEM_CONTEST_SHARPNESS / (double)rows.n);
    }
  }
  return loss * (double)contest->weight;
}

double
gem_backbone_weigh_contests(const GemBackbone *self,
                            const float *values,
                            const GemBatch *batch,
                            GemBackbonePass *pass,
                            float *weights)
{
  double loss = 0.0;
  for (guint i = 0; i < batch->contests->len; i++) {
    loss += weigh_contest(self, values, batch, &g_array_index(batch->contests, GemContest, i), pass, weights);
  }
  return loss;
}
