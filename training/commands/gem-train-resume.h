/* What the commands that train, pretrain and router, hold a checkpoint against before they go on from it. */
#pragma once

#include "training/commands/gem-train-options.h"
#include "training/network/gem-run-identity.h"

/* The options that both commands take and that change what comes of the training, but for those that the
 * trainer compares by itself; and the text. The command adds its own. Transfer full. */
GString *
gem_train_identity_new(const GemTrainingOptions *options, const GemCorpus *corpus);

void
gem_train_identity_write(const GString *identity, GemGgufWriter *checkpoint);

/* All is as it was, but that the rate may be lower; where a run has ended by --until, text, shares and
 * weights may be others; and as long as its routes are not used (`routed`) the router. Else MISMATCH, naming
 * each option and both values. A checkpoint of an earlier gem-train, which does not tell, is gone on from
 * with a warning. */
gboolean
gem_train_identity_check(const GString *identity, GemGguf *checkpoint, gboolean routed, GError **error);
