/* What a new residual starts from. */
#pragma once

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-measure.h"

/* Of all residuals that there are, the one that predicts the text best, all of it on that one's route; also
 * the one that the learned residual is now. What is near a domain of the model begins with what that domain
 * knows: it was once learned from far more text, and others' tokens that are taken lose nothing by it.
 * CANCELLED. */
gboolean
gem_adapt_origin_choose(GemAdaptModel *model,
                        const GemAdaptDocuments *documents,
                        GemLanes *lanes,
                        const GemAdaptWatch *watch,
                        GError **error);
