/* How much memory a training takes, reckoned before any of it is taken. */
#pragma once

#include "adaptation/gem-adapt-packet.h"

/* NOSPC, with both counts, when the limit of the start is less than what learning `text_bytes` of text on
 * this model takes. Reads the shapes of the model's files, no more. */
gboolean
gem_adapt_memory_check(const GemAdaptStart *start, guint64 text_bytes, GError **error);
