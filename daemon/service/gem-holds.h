/*
 * Holds: pathways that callers keep in memory, each with a cookie, until they release it or leave the bus. A
 * hold belongs to the model that was served when it was taken, and ends with it.
 */
#pragma once

#include "daemon/service/gem-call.h"

typedef struct _GemHolds GemHolds;

GemHolds *
gem_holds_new(void);
/* Every caller must be gone (gem_callers_free). */
void
gem_holds_free(GemHolds *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemHolds, gem_holds_free)

/* Ends those of models other than the one that `engine` runs. */
void
gem_holds_drop_others(GemHolds *self, GemEngine *engine);

/* Pathway.Hold and Pathway.Release of `domain`; they answer the call. */
void
gem_holds_take(GemHolds *self, GemCall *call, const char *domain);
void
gem_holds_release(GemHolds *self, GemCall *call, const char *domain);
