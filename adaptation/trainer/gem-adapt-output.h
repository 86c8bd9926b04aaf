/* The learned file, written into the descriptor that the daemon gave, and read back from it: what is judged
 * is what will be served. */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"

/* Quantizes the residual as the model's domain files are, and writes it with row[width + 1]. */
gboolean
gem_adapt_output_write(const GemAdaptModel *model,
                       const GemAdaptStart *start,
                       const float *row,
                       GError **error);

/* The residual and row[width + 1] as the file has them. */
gboolean
gem_adapt_output_read(GemAdaptModel *model, const GemAdaptStart *start, float *row, GError **error);

/* Nothing is left of it: what was refused is not there to be taken. */
gboolean
gem_adapt_output_clear(const GemAdaptStart *start, GError **error);
