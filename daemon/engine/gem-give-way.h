/*
 * Who gives way when memory is so short that nobody can go on: what there is goes to the job that came first,
 * batch work last, and it is batch work, then the one that came last, that gives up its cache and what the
 * router remembers of its text. It keeps its tokens and their routes and begins again when some job has
 * ended: what it puts out is the same, and later.
 */
#pragma once

#include "daemon/engine/gem-job.h"

/* Of `active`, the one that comes first; both arrays are of GemJob, `jobs` in the order in which they came.
 */
GemJob *
gem_give_way_find_first(const GPtrArray *jobs, GPtrArray *active);

/* One of all jobs gives back what only saves it time; when none has that, one of the others gives way to
 * `job`, and has `gave_way`. FALSE: none has anything. */
gboolean
gem_give_way(GemRuntime *runtime, const GPtrArray *jobs, const GemJob *job);
/* The same until there is room for what the router remembers of the job's sequence, or nobody is left: one
 * that appends tokens must not fail for what others hold. */
void
gem_give_way_to_router(GemRuntime *runtime, const GPtrArray *jobs, const GemJob *job);

/* All may begin again. */
void
gem_give_way_end(const GPtrArray *jobs);
