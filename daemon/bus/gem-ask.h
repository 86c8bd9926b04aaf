/*
 * Manager.Ask: a question on a sequence of its own, in a queue. Some run side by side; the next to start is
 * of the user, and then the connection, with the fewest running, the oldest first. Batch ones come after all
 * others, but for one after GEM_CALL_BATCH_AFTER of them, and leave one place to them. Each is over
 * AskSeconds after it arrived.
 */
#pragma once

#include "daemon/bus/gem-call.h"

typedef struct _GemAskQueue GemAskQueue;

GemAskQueue *
gem_ask_queue_new(guint parallel);
/* All asks must have been answered. */
void
gem_ask_queue_free(GemAskQueue *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAskQueue, gem_ask_queue_free)

/* A GemCallRun. */
void
gem_ask_run(GemCall *call);
/* Answers what has not started with GEM_ERROR_SHUTTING_DOWN; what runs ends with the engine. */
void
gem_ask_queue_stop(GemAskQueue *self);
