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

/* Whether a text could run that takes `bytes` in all and needs these pathways, if no other took anything: the
 * model's own parts, and pathways that somebody keeps, stay. */
gboolean
gem_room_fits_alone(const GemRuntime *runtime, gsize bytes, GemPathwaySet needed);

/* A text that is to run insists on this pathway: makes it resident, with room made for it. TRUE, and nothing
 * is done, when there is no room only for what others take: its rows wait for that. Else LIMIT_EXCEEDED;
 * PATHWAY as gem_pager_need. */
gboolean
gem_room_expect(GemRuntime *runtime, guint index, GError **error);
/* An administrator asks for it: tries a pathway again that failed before. LIMIT_EXCEEDED when there is no
 * room now. */
gboolean
gem_room_page_in(GemRuntime *runtime, guint index, GError **error);

/* Pages in one of those that tokens went without in the last step (runtime->wanted), unless it would take the
 * place of one that this step has used, or of a conversation's cache. */
void
gem_room_page_in_wanted(GemRuntime *runtime);
