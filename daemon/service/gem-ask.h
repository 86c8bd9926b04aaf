/*
 * Manager.Ask: a question on a sequence of its own, in a queue (gem-call-queue.h) of its own, of which
 * ParallelAsks run side by side. Each is over AskSeconds after it arrived.
 */
#pragma once

#include "daemon/service/gem-call.h"

/* A GemCallRun. */
void
gem_ask_run(GemCall *call);
