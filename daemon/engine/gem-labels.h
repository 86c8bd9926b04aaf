/* The labels of Classify: checked, and cut into tokens. Any thread. */
#pragma once

#include "daemon/engine/gem-engine-private.h"

/* 2 to 256, different and not empty: INVALID_OPTION. */
gboolean
gem_labels_check(const char *const *labels, GError **error);

/* Their tokens, each ended by the end of a text, if the model has a token for that; else none may begin
 * another. Of GArray of guint32, which are wiped when they go. Every label has to fit after `prefix` tokens
 * of the text: CONTEXT_EXCEEDED; INVALID_TEXT, INVALID_OPTION. */
GPtrArray *
gem_labels_encode(GemEngine *engine, const char *const *labels, guint prefix, GError **error);
