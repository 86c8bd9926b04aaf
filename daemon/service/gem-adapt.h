/* Manager's methods about learned domains, each a GemCallRun: options, permission, and the answer. What they
 * do is done in daemon/learned. */
#pragma once

#include "daemon/service/gem-call.h"

/* Needs the model. */
void
gem_adapt_run(GemCall *call);
void
gem_adapt_list_run(GemCall *call);
void
gem_adapt_forget_run(GemCall *call);
void
gem_adapt_undo_run(GemCall *call);
void
gem_adapt_share_run(GemCall *call);
