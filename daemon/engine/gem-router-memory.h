/*
 * What the router remembers of a sequence, GemSequenceState.router_state: made when the router is asked for
 * the first time, and made again when it was given up meanwhile, since memory was short, a turn was rolled
 * back, or the older half slid out. The router is shown the tokens again that it was asked about, in the
 * turns in which they came: it remembers what it would have, bit for bit, and so the routes of what comes
 * next are what they would have been.
 */
#pragma once

#include "daemon/engine/gem-sequence-state.h"

/* Whether there is room for that under MemoryLimit, or nothing to make. */
gboolean
gem_router_memory_fits(const GemRuntime *runtime, const GemSequenceState *sequence);

/* Makes it, where it is not there, with room made for it; all tokens of the sequence are seen then.
 * LIMIT_EXCEEDED, FAILED for lack of memory, or CANCELLED as `runtime->go_on` has it; the sequence is what it
 * was then. */
gboolean
gem_router_memory_need(GemRuntime *runtime, GemSequenceState *sequence, GError **error);
