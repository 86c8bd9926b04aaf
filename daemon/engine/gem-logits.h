/* Likelihoods of the tokens that logits [n] stand for. */
#pragma once

#include <glib.h>

/* log sum exp(logits [n]): a token's log likelihood is its logit less that. */
double
gem_logits_normaliser(const float *logits, gsize n);
