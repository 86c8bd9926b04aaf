/*
 * The router's row for an adapted domain. The router's body and all other rows stay: with logits z over the
 * other domains, a token's probability for the row is sigmoid(w f + b - log sum exp z), where f is what the
 * body makes of the token. So the row is a logistic regression with an offset: the text that is learned
 * against the replayed text of the other domains, and replayed text of none pulled towards the even
 * distribution, as in the router's own training.
 */
#pragma once

#include "training/adapt/gem-adapt-text.h"
#include "training/network/gem-router-network.h"

#define GEM_ADAPT_ROW_CROP 128u /* tokens of a text that are read at once */

typedef struct {
  gint8 replaced;   /* the class whose row is learned anew, starting from it; -1: one more */
  gboolean bias;    /* FALSE: it stays 0, for a row of router.gguf, which has none */
  guint tokens;     /* read of either side, at most */
  guint iterations; /* of Adam, over all of them */
  double rate;
  guint64 seed;
  guint lanes; /* threads; the row does not depend on their number */
} GemAdaptRowOptions;
extern const GemAdaptRowOptions gem_adapt_row_options_default;

typedef struct {
  double loss;       /* nats a token, both sides the same weight */
  double own_share;  /* of the tokens of the text: the row is likeliest and above the threshold */
  double lost_share; /* of other domains' replayed tokens that were above it: no longer are */
} GemAdaptRowFigures;

/* row[width + 1]: weights, then the bias. Replayed text of the replaced class is left out. Errors: text on
 * either side is missing. `threshold`: for the figures alone. */
gboolean
gem_adapt_router_row(const GemRouterNetwork *network,
                     const float *values,
                     const GemAdaptData *data,
                     const GemAdaptRowOptions *options,
                     float threshold,
                     float *row,
                     GemAdaptRowFigures *ret_figures,
                     GError **error);
