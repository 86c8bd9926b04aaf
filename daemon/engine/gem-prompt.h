/* What gem_sequence_generate makes of a prompt first: its tokens, see gem_prompt_new in gem-engine.h. */
#pragma once

#include "daemon/engine/gem-engine-private.h"

/* The tokens of `text` in the model's template, or of the text alone. Any thread. */
GArray *
gem_engine_encode_prompt(GemEngine *self, const char *text, gboolean raw, GError **error);
/* Of guint32; transfer full, to be wiped. */
GArray *
gem_prompt_copy_tokens(const GemPrompt *self);
