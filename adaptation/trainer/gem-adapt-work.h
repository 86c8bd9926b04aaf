/* One training from its start to its verdict: read, measure, learn, write, measure what was written. */
#pragma once

#include "adaptation/gem-adapt-packet.h"

/* Where the work is; any thread. loss negative: none. */
typedef void (*GemAdaptWorkProgress)(GemAdaptPhase phase, double share, double loss, gpointer data);

/* `done` or `refused`, whose file is empty then; NULL with an error that holds nothing of the text.
 * CANCELLED: the checkpoint is written. */
GemAdaptPacket *
gem_adapt_work(const GemAdaptStart *start,
               GCancellable *cancellable,
               GemAdaptWorkProgress progress,
               gpointer data,
               GError **error);
