/*
 * Whose job is next: owners take turns, and so do the jobs of one owner, however many each of them has; jobs
 * of the batch kind come after all others. There are two lines to stand in, for preparation (a pass of the
 * router over a text) and for a block of prefill. On the engine thread.
 */
#pragma once

#include "daemon/engine/gem-job.h"

typedef enum { GEM_FAIR_PREPARE, GEM_FAIR_PREFILL, GEM_FAIR_LINES } GemFairLine;

/* A batch job that others passed so many times in its line is next all the same. */
#define GEM_FAIR_BATCH_AFTER 16u

typedef struct GemFair GemFair;

GemFair *
gem_fair_new(void);
void
gem_fair_free(GemFair *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemFair, gem_fair_free)

/* The one of jobs [n], in the order in which they came, whose turn it is: its owner's last turn in this line
 * was longest ago, and among the owner's jobs its own. `hurry`: other work that is not batch waits somewhere
 * else, and is before a batch job of this line, too. NULL: none, now. */
GemJob *
gem_fair_pick(GemFair *self, GemFairLine line, GemJob *const *jobs, guint n, gboolean hurry);

/* There are no jobs: who had the last turns does not matter any more. */
void
gem_fair_forget(GemFair *self);
