#include <string.h>

#include "plugins/router/bert/gem-bert.h"

uint32_t
gem_bert_row_width(const GemRouter *self)
{
  return self->width;
}

/* The sum in double: in one order, whatever rows are beside it. */
static float
row_logit(const GemRouter *self, const GemRouterRow *row, const float *e)
{
  double sum = (double)row->bias;
  for (uint32_t i = 0; i < self->width; i++) {
    sum += (double)row->weight[i] * (double)e[i];
  }
  return (float)sum;
}

static bool
is_left_out(const GemRouter *self, const GemRouterClasses *classes, size_t column)
{
  return column < self->domains && column < 64 && (classes->without >> column & 1) != 0;
}

/* The logits of the classes that there are, one after the other; how many. */
static size_t
gather_logits(const GemRouter *self,
              const GemRouterClasses *classes,
              const float *logits,
              const float *e,
              float *values)
{
  size_t n = 0;
  for (size_t domain = 0; domain < self->domains; domain++) {
    if (!is_left_out(self, classes, domain)) {
      values[n++] = logits[domain];
    }
  }
  for (size_t row = 0; row < classes->n_rows; row++) {
    values[n++] = row_logit(self, &classes->rows[row], e);
  }
  return n;
}

/* Moves n values from the front of a row to the columns of their classes, from the last one on: none is
 * written over before it is moved. */
static void
spread(const GemRouter *self, const GemRouterClasses *classes, size_t n, float *values)
{
  for (size_t column = self->domains + classes->n_rows; column-- > 0;) {
    values[column] = is_left_out(self, classes, column) ? 0 : values[--n];
  }
}

static void
classify_with(const GemRouter *self,
              const GemRouterClasses *classes,
              const float *logits,
              const float *e,
              float *probabilities)
{
  size_t n = gather_logits(self, classes, logits, e, probabilities);
  if (n > 0) {
    self->backend.functions->softmax(self->backend.state, probabilities, n);
  }
  spread(self, classes, n, probabilities);
}

void
gem_bert_classify(const GemRouter *self, const GemBertPiece *piece, const float *logits, const float *e)
{
  size_t columns = self->domains + (piece->classes != NULL ? piece->classes->n_rows : 0);
  float *probabilities = piece->turn->probabilities + piece->token * columns;
  for (size_t i = 0; i < piece->n; i++) {
    if (piece->classes != NULL) {
      classify_with(self, piece->classes, logits + i * self->domains, e + i * self->width,
                    probabilities + i * columns);
      continue;
    }
    memcpy(probabilities + i * columns, logits + i * self->domains, columns * sizeof *probabilities);
    self->backend.functions->softmax(self->backend.state, probabilities + i * columns, columns);
  }
}
