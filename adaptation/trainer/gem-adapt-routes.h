/* Routes as the service makes them: the router's classes, a learned domain's row beside them, the threshold.
 */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"
#include "training/adapt/gem-adapt-text.h"

/* batch->route from the router's last pass over it. row[width + 1], the last the bias; NULL: the model as it
 * is. Tokens of a domain that is not there run as general. */
void
gem_adapt_routes_set(const GemAdaptModel *model,
                     const GemRouterPass *pass,
                     const float *row,
                     GemBatch *batch);

/* The share of the tokens of any other domain that a learned row may take. */
#define GEM_ADAPT_TAKEN_SHARE 0.005

/* Moves the bias of row[width + 1] so that of the tokens of each domain in `others`, and of texts of no
 * domain, read as turns are and as answers are, at most GEM_ADAPT_TAKEN_SHARE would be routed to it; and no
 * further up than `own` asks for. */
void
gem_adapt_routes_choose_bias(const GemAdaptModel *model, const GArray *own, const GArray *others, float *row);
