/*
 * A text's tokens, as every call and turn begins with: see gem_prompt_new in gem-engine.h. What is read here
 * is what is made: it does not change any more.
 */
#pragma once

#include "daemon/engine/gem-engine-private.h"

/* Where a token of a prompt stands in its text; one of the template nowhere: 0, 0. */
typedef struct {
  gsize offset, length; /* bytes */
} GemPlace;

struct _GemPrompt {
  GArray *tokens;    /* guint32 */
  GArray *places;    /* of GemPlace, one a token; NULL: they were not wanted */
  GPtrArray *labels; /* of GArray of guint32, wiped when they go, see gem-labels.h; NULL: none */
};

/* The prompt that `options` (may be NULL) bring, or one that is made of `text` now; transfer full. */
GemPrompt *
gem_prompt_take(GemEngine *engine,
                const char *text,
                const GemPromptSpec *spec,
                const GemRunOptions *options,
                GError **error);
