/*
 * The engine's memory under MemoryLimit: what counts, and what may go for something new (see
 * daemon/pager/gem-budget.h). On the engine thread.
 */
#pragma once

#include "daemon/engine/gem-runtime.h"

/* Steps that one who has memory has it for before it is another's turn: texts go from one pathway to the
 * other and back, and to have pathways change places costs a page-in or two. */
#define GEM_ROOM_STEPS 16u

/* Ties the budget to what the runtime holds now, which is what stays. */
void
gem_room_init(GemRuntime *runtime);

/* Sets the limit, and gives up what is over it and may go. */
void
gem_room_set_limit(GemRuntime *runtime, guint64 bytes);

/* Makes a pathway resident, with room made for it at the expense of any that are not in `kept`.
 * LIMIT_EXCEEDED when there is none; PATHWAY as gem_pager_need. */
gboolean
gem_room_need(GemRuntime *runtime, guint index, GemPathwaySet kept, GError **error);
/* The same, trying a pathway again that failed before. */
gboolean
gem_room_page_in(GemRuntime *runtime, guint index, GError **error);

/* Pages in one of those that tokens went without in the last step (runtime->wanted), unless it would take the
 * place of one that this step has used, or of a conversation's cache. */
void
gem_room_page_in_wanted(GemRuntime *runtime);
