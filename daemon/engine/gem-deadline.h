/*
 * Until when a text waits: for memory that other texts have, or for its turn. Who asks for an answer in one
 * call hears why there is none before the bus would give up on it.
 */
#pragma once

#include "daemon/engine/gem-job.h"

/* Why the job, whose deadline has passed, is to end now: LIMIT_EXCEEDED naming MemoryLimit, or BUSY. NULL:
 * its time is not over, or it does not wait. */
GError *
gem_deadline_find_error(const GemRuntime *runtime, const GemJob *job, gint64 now);
