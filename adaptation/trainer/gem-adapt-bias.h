/*
 * The bias of a learned row: how many tokens it takes. The backbone is frozen, so that a new domain costs
 * others nothing but what is taken from them by mistake: those tokens, times how much worse what follows them
 * is predicted then. Both are seen on the replayed text that is kept, and the bias goes as far up as the text
 * that is learned asks for, and no further than every other domain can pay for.
 */
#pragma once

#include "adaptation/trainer/gem-adapt-measure.h"

typedef struct {
  const GemAdaptModel *model;       /* with the residual that was learned */
  const GArray *own;                /* GemAdaptText: text that is learned */
  const GArray *others;             /* and that of other domains, */
  const GemAdaptSums *other_before; /* measured without the row */
  double most_percent;              /* by which any group of the others may become worse */
} GemAdaptBiasSearch;

/* The largest shift from `high` down that is affordable, nearly; the lowest when none is. What a shift costs
 * need not grow with it: what is taken may be predicted better, too. */
double
gem_adapt_bias_search(double high, gboolean (*is_affordable_at)(double shift, gpointer data), gpointer data);

/* Moves the bias of row[width + 1]. What a bias costs is measured with just the routes that it makes; of
 * texts whose routes stay nothing has to run. A standard error is counted in. CANCELLED. */
gboolean
gem_adapt_bias_set(const GemAdaptBiasSearch *search,
                   float *row,
                   GemLanes *lanes,
                   const GemAdaptWatch *watch,
                   GError **error);
