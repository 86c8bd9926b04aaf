/*
 * Which rows the next step runs: one token of each decoding job, and a bounded block of prefill that goes
 * round the jobs, so that a long prompt does not hold up those who stream.
 */
#pragma once

#include "daemon/engine/gem-job.h"
#include "daemon/engine/gem-step.h"

typedef struct GemScheduler GemScheduler;

/* prefill_block: rows of prefill a step, at least 1. */
GemScheduler *
gem_scheduler_new(GemRuntime *runtime, guint prefill_block, GemBeat *beat);
/* There must be no jobs left. */
void
gem_scheduler_free(GemScheduler *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemScheduler, gem_scheduler_free)

/* Takes the job. */
void
gem_scheduler_add(GemScheduler *self, GemJob *job);

/* Ends what is cancelled, prepares at most one job, runs one step. FALSE: there was nothing to do. */
gboolean
gem_scheduler_turn(GemScheduler *self);

/* The pathways to which texts are routed whose jobs run; which sequences are busy is noted as of now. */
GemPathwaySet
gem_scheduler_find_pathways(GemScheduler *self);

/* The learned pathways with which jobs began. */
GemPathwaySet
gem_scheduler_find_learned(const GemScheduler *self);

/* Tokens run so far, jobs that are begun, and jobs that are not. */
void
gem_scheduler_measure(const GemScheduler *self, guint64 *ret_tokens, guint *ret_running, guint *ret_waiting);

/* Ends every job with this code and message. */
void
gem_scheduler_end_all(GemScheduler *self, GemError code, const char *message);
