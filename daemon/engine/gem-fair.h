/*
 * Whose job is next: owners have equal shares, and the jobs of one owner take turns, however many each of
 * them has; jobs of the batch kind come after all others, and their owners share what is left to them. There
 * are two lines to stand in, for preparation (a pass of the router over a text), where a turn counts, and for
 * a block of prefill, where rows count: a turn with what others left of a block is not a turn with a whole
 * one. On the engine thread.
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

/* The one of jobs [n], in the order in which they came, whose turn it is: its owner was given least in this
 * line, and of several such jobs it is the one whose last turn was longest ago. An owner who was not there
 * begins with what those who were have: nothing is saved up, and nothing is owed for what nobody else wanted.
 * `hurry`: other work that is not batch waits somewhere else, and is before a batch job of this line, too.
 * NULL: none, now. */
GemJob *
gem_fair_pick(GemFair *self, GemFairLine line, GemJob *const *jobs, guint n, gboolean hurry);
/* What the job that was picked last in this line gets: 1 for a turn, or the rows of it. */
void
gem_fair_charge(GemFair *self, GemFairLine line, const GemJob *job, guint amount);

/* There are no jobs: who was given what does not matter any more. */
void
gem_fair_forget(GemFair *self);
