/*
 * After a step: jobs whose tokens are all run take what was put out, and end or have a next token, which is
 * appended together with those of others, one pass of the router for all. The scheduler's, and so the engine
 * thread's.
 */
#pragma once

#include "daemon/engine/gem-job.h"

typedef struct GemSettling GemSettling;

/* `jobs`, of GemJob in the order in which they came, is the scheduler's and outlives it. */
GemSettling *
gem_settling_new(GemRuntime *runtime, GPtrArray *jobs);
void
gem_settling_free(GemSettling *self);

/* Takes the job from the list and ends it; `error` (taken; NULL: it is done) ends it before its time. */
void
gem_settling_end(GemSettling *self, GemJob *job, GError *error);

/* Lets jobs [n], of the list and with no tokens left to run, go on. */
void
gem_settling_go_on(GemSettling *self, GemJob *const *jobs, guint n);

/* GemRuntime.go_on for work on that job: it is not cancelled. */
gboolean
gem_settling_is_wanted(gpointer job);
