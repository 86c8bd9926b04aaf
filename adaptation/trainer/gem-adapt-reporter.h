/*
 * The trainer's end of the channel while it works: a thread of its own tells how far it is several times a
 * second, whatever the others do, and hears when the work is to end: `cancel`, a channel that was closed or
 * breaks the rules, SIGTERM.
 */
#pragma once

#include "adaptation/gem-adapt-channel.h"

typedef struct _GemAdaptReporter GemAdaptReporter;

/* Borrows the channel and uses it until it is freed. SIGTERM is blocked in the caller's thread from now on,
 * and in those that it starts. */
GemAdaptReporter *
gem_adapt_reporter_new(GemAdaptChannel *channel);
/* Ends the thread. */
void
gem_adapt_reporter_free(GemAdaptReporter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptReporter, gem_adapt_reporter_free)

/* Cancelled when the work is to end. Borrowed. */
GCancellable *
gem_adapt_reporter_get_cancellable(GemAdaptReporter *self);

/* What is to be told from now on; any thread. `share` of the whole work; `loss` negative: none. */
void
gem_adapt_reporter_set(GemAdaptReporter *self, GemAdaptPhase phase, double share, double loss);
