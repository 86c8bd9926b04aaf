/* What must be the same when a checkpoint of an adaptation is gone on with: the options, but for the steps,
 * and the text. */
#pragma once

#include "training/adapt/gem-adaptation.h"

/* "rate=0.001 sequence=256 ... text=DIGEST", as the checkpoint keeps it. Transfer full. */
char *
gem_adapt_identity_new(const GemAdaptData *data, const GemAdaptOptions *options);

void
gem_adapt_identity_write(const char *identity, GemGgufWriter *checkpoint);

/* A lower rate goes on with what a higher one began: that is what helps where the loss was not finite. Errors
 * (MISMATCH) name all that differs. */
gboolean
gem_adapt_identity_check(const char *identity, GemGguf *checkpoint, GError **error);
