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

/* What a token's route becomes as the bias of a row moves. */
typedef struct {
  gint8 before; /* without the row, and with the class that it replaces */
  gint8 left;   /* when the row does not take it: among the model's other classes, as if there were no row */
  float taken;  /* the row takes it when the bias grows by more than this; below 0: it is as things are */
} GemAdaptShift;
GemAdaptShift
gem_adapt_routes_shift(const GemAdaptModel *model, const float *feature, const float *row);
