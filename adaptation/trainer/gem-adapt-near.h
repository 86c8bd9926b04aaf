/* Which of the other domains' texts a new residual has to do with. */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"
#include "training/adapt/gem-adapt-text.h"
#include "training/arithmetic/gem-lanes.h"

/* Those whose tokens are likeliest to be taken by the row, a third of them: what a residual does to the
 * others nobody will see, and distillation on them would only take time. All of one group. GemAdaptText. */
GArray *
gem_adapt_near_pick(const GemAdaptModel *model, const GArray *texts, const float *row, GemLanes *lanes);
