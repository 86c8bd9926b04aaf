#include "training/text/gem-batch.h"

#include <string.h>

GemBatch *
gem_batch_new(gsize capacity)
{
  GemBatch *self = g_new0(GemBatch, 1);
  self->capacity = capacity;
  self->token = g_new0(guint32, capacity);
  self->target = g_new0(gint32, capacity);
  self->weight = g_new0(float, capacity);
  self->position = g_new0(guint32, capacity);
  self->route = g_new0(gint8, capacity);
  self->prefix = g_new0(guint32, capacity + 1);
  self->forks = gem_forks_new();
  self->fork_weight = g_array_new(FALSE, FALSE, sizeof(float));
  self->contests = g_array_new(FALSE, FALSE, sizeof(GemContest));
  self->start = g_array_new(FALSE, FALSE, sizeof(guint32));
  gem_batch_clear(self);
  return self;
}

void
gem_batch_free(GemBatch *self)
{
  /* It may be a user's text. */
  explicit_bzero(self->token, self->capacity * sizeof(guint32));
  explicit_bzero(self->target, self->capacity * sizeof(gint32));
  g_free(self->token);
  g_free(self->target);
  g_free(self->weight);
  g_free(self->position);
  g_free(self->route);
  g_free(self->prefix);
  gem_forks_free(self->forks);
  g_array_unref(self->fork_weight);
  g_array_unref(self->contests);
  g_array_unref(self->start);
  g_free(self);
}

void
gem_batch_clear(GemBatch *self)
{
  const guint32 zero = 0;
  self->n = 0;
  gem_forks_clear(self->forks);
  g_array_set_size(self->fork_weight, 0);
  g_array_set_size(self->contests, 0);
  g_array_set_size(self->start, 0);
  g_array_append_val(self->start, zero);
}

gsize
gem_batch_n_sequences(const GemBatch *self)
{
  return self->start->len - 1;
}

gsize
gem_batch_room(const GemBatch *self)
{
  return self->capacity - self->n;
}

void
gem_batch_append(GemBatch *self, const guint32 *tokens, gsize n, gint8 route, float weight)
{
  g_assert(n > 0 && n <= gem_batch_room(self));
  gsize first = self->n;
  memcpy(self->token + first, tokens, n * sizeof(guint32));
  for (gsize i = 0; i < n; i++) {
    self->target[first + i] = i + 1 < n ? (gint32)tokens[i + 1] : -1;
    self->weight[first + i] = i + 1 < n ? weight : 0.0f;
    self->position[first + i] = (guint32)i;
    self->route[first + i] = route;
  }
  self->prefix[gem_batch_n_sequences(self)] = 0;
  self->n += n;
  guint32 end = (guint32)self->n;
  g_array_append_val(self->start, end);
}

void
gem_batch_add_fork(GemBatch *self, guint32 row, const guint32 *others, guint32 n, float weight)
{
  g_assert(row < self->n && self->target[row] >= 0);
  gem_forks_add(self->forks, row, others, n);
  g_array_append_val(self->fork_weight, weight);
}

void
gem_batch_add_contest(GemBatch *self, guint32 n, guint32 answer, float weight)
{
  gsize sequences = gem_batch_n_sequences(self);
  const guint32 *start = (const guint32 *)(gpointer)self->start->data + sequences - n;
  g_assert(n >= 2 && n <= sequences && answer >= 1);
  for (guint32 i = 0; i < n; i++) {
    g_assert(start[i + 1] - start[i] > answer);
  }
  const GemContest contest = {
      .sequence = (guint32)(sequences - n), .n = n, .answer = answer, .weight = weight};
  g_array_append_val(self->contests, contest);
}

double
gem_batch_total_weight(const GemBatch *self)
{
  double total = 0.0;
  for (gsize i = 0; i < self->n; i++) {
    total += self->target[i] >= 0 ? (double)self->weight[i] : 0.0;
  }
  for (guint i = 0; i < self->fork_weight->len; i++) {
    total += (double)g_array_index(self->fork_weight, float, i);
  }
  for (guint i = 0; i < self->contests->len; i++) {
    total += (double)g_array_index(self->contests, GemContest, i).weight;
  }
  return total;
}
