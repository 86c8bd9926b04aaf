/*
 * The whole forward pass of docs/model.md once more: one sequence at once, in double precision, straight from
 * the tensors of the model's files.
 */
#pragma once

#include "format/gem-model-files.h"

/* routes: a domain's index a token, or 0xff for general alone. cluster_set: index into shape.clusters; -1:
 * dense attention. half: keys and values are rounded to halves; otherwise they and queries are to 8 bits.
 * Result [n][vocab] logits, or, with `hidden`, the [n][width] states after the output norm;
 * free with g_free. */
double *
reference_forward(GemModelFiles *files,
                  const guint32 *tokens,
                  guint n,
                  const guint8 *routes,
                  int cluster_set,
                  gboolean half,
                  gboolean hidden);

/* log softmax(logits [vocab]) at `token`. */
double
reference_log_likelihood(const double *logits, guint vocab, guint32 token);
