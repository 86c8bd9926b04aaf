/* How much memory a training takes, reckoned before any of it is taken. */
#pragma once

#include "adaptation/gem-adapt-packet.h"

/* How many threads learn: the most, up to those of the start, with which learning `text_bytes` of text on
 * this model takes no more memory than the start allows. The same for the same start and text, always: what
 * is learned depends on it. NO_SPACE, with both counts, when there is too little for one. Reads the shapes of
 * the model's files, no more. */
gboolean
gem_adapt_memory_choose_lanes(const GemAdaptStart *start,
                              guint64 text_bytes,
                              guint *ret_lanes,
                              GError **error);
