/* The learned domain's row of the router: what is the user's text and what is not. */
#pragma once

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-replay.h"

/* row[width + 1], the last the bias. The router and its other rows stay. Learned from crops of the text
 * against crops of the replayed text of other domains and of none, cut as callers cut theirs; its bias is set
 * anew once the residual is there (gem-adapt-bias.h). */
gboolean
gem_adapt_row_learn(const GemAdaptModel *model,
                    const GemAdaptDocuments *documents,
                    const GemAdaptReplay *replay,
                    guint64 seed,
                    guint threads,
                    float *row,
                    GError **error);
