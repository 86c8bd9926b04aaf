#include "daemon/engine/gem-fair.h"

/* Owners who share with each other: those who wait for the same, all in batch jobs or all in others. */
typedef struct {
  GHashTable *given; /* owner -> guint64: what it was given, in the count of `floor` */
  guint64 floor;     /* what the owner picked last had been given before: whoever waited then had no less */
} Shares;

struct GemFair {
  guint64 clock;                    /* turns given so far */
  Shares shares[GEM_FAIR_LINES][2]; /* of others, and of batch jobs */
  guint passed[GEM_FAIR_LINES];     /* turns since a batch job that waits had one */
};

GemFair *
gem_fair_new(void)
{
  GemFair *self = g_new0(GemFair, 1);

  for (guint i = 0; i < GEM_FAIR_LINES; i++) {
    for (guint batch = 0; batch < 2; batch++) {
      self->shares[i][batch].given = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
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
    g_hash_table_unref(self->shares[i][0].given);
    g_hash_table_unref(self->shares[i][1].given);
  }
  g_free(self);
}

static guint64
given_to(const Shares *shares, guint owner)
{
  const guint64 *given = g_hash_table_lookup(shares->given, GUINT_TO_POINTER(owner));

  return given != NULL ? MAX(*given, shares->floor) : shares->floor;
}

/* Of the jobs of one kind; NULL when there is none. */
static GemJob *
find_next(const GemFair *self, GemFairLine line, GemJob *const *jobs, guint n, gboolean batch)
{
  GemJob *next = NULL;
  guint64 of_next = 0;

  for (guint i = 0; i < n; i++) {
    guint64 of_owner;

    if (jobs[i]->batch != batch) {
      continue;
    }
    of_owner = given_to(&self->shares[line][batch ? 1 : 0], jobs[i]->owner);
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
  Shares *shares = &self->shares[line][job->batch ? 1 : 0];

  shares->floor = given_to(shares, job->owner);
  job->last_turn = ++self->clock;
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
gem_fair_charge(GemFair *self, GemFairLine line, const GemJob *job, guint amount)
{
  Shares *shares = &self->shares[line][job->batch ? 1 : 0];
  guint64 *given = g_new(guint64, 1);

  *given = given_to(shares, job->owner) + amount;
  g_hash_table_replace(shares->given, GUINT_TO_POINTER(job->owner), given);
}

void
gem_fair_forget(GemFair *self)
{
  for (guint i = 0; i < GEM_FAIR_LINES; i++) {
    for (guint batch = 0; batch < 2; batch++) {
      g_hash_table_remove_all(self->shares[i][batch].given);
      self->shares[i][batch].floor = 0;
    }
    self->passed[i] = 0;
  }
}
