#include "daemon/engine/gem-fair.h"

struct GemFair {
  guint64 clock;                      /* turns given so far */
  GHashTable *owners[GEM_FAIR_LINES]; /* owner -> guint64: the clock at its last turn */
  guint passed[GEM_FAIR_LINES];       /* turns since a batch job that waits had one */
};

GemFair *
gem_fair_new(void)
{
  GemFair *self = g_new0(GemFair, 1);

  for (guint i = 0; i < GEM_FAIR_LINES; i++) {
    self->owners[i] = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  }
  return self;
}

void
gem_fair_free(GemFair *self)
{
  if (self == NULL) {
    return;
  }
  for (guint i = 0; i < GEM_FAIR_LINES; i++) {
    g_hash_table_unref(self->owners[i]);
  }
  g_free(self);
}

/* 0: never. */
static guint64
last_turn(const GemFair *self, GemFairLine line, const GemJob *job)
{
  const guint64 *last = g_hash_table_lookup(self->owners[line], GUINT_TO_POINTER(job->owner));

  return last != NULL ? *last : 0;
}

/* Of the jobs of one kind; NULL when there is none. */
static GemJob *
find_next(const GemFair *self, GemFairLine line, GemJob *const *jobs, guint n, gboolean batch)
{
  GemJob *next = NULL;
  guint64 of_next = 0;

  for (guint i = 0; i < n; i++) {
    guint64 of_owner = last_turn(self, line, jobs[i]);

    if (jobs[i]->batch != batch) {
      continue;
    }
    if (next == NULL || of_owner < of_next || (of_owner == of_next && jobs[i]->last_turn < next->last_turn)) {
      next = jobs[i];
      of_next = of_owner;
    }
  }
  return next;
}

static void
note_turn(GemFair *self, GemFairLine line, GemJob *job)
{
  gpointer owner = GUINT_TO_POINTER(job->owner);
  guint64 *last = g_hash_table_lookup(self->owners[line], owner);

  if (last == NULL) {
    last = g_new(guint64, 1);
    g_hash_table_insert(self->owners[line], owner, last);
  }
  *last = ++self->clock;
  job->last_turn = self->clock;
}

GemJob *
gem_fair_pick(GemFair *self, GemFairLine line, GemJob *const *jobs, guint n, gboolean hurry)
{
  GemJob *next = find_next(self, line, jobs, n, FALSE);
  GemJob *batch = find_next(self, line, jobs, n, TRUE);

  if (batch != NULL && ((next == NULL && !hurry) || self->passed[line] >= GEM_FAIR_BATCH_AFTER)) {
    next = batch;
    self->passed[line] = 0;
  } else if (batch != NULL) {
    self->passed[line]++;
  }
  if (next != NULL) {
    note_turn(self, line, next);
  }
  return next;
}

void
gem_fair_forget(GemFair *self)
{
  for (guint i = 0; i < GEM_FAIR_LINES; i++) {
    g_hash_table_remove_all(self->owners[i]);
    self->passed[i] = 0;
  }
}
