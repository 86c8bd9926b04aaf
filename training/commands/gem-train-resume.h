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

/* The first step of the last share, which uses the router's own routes and fixed centroids. */
guint64
gem_train_routed_from(double routed_share, guint64 steps);

/* The trainer lets the number of steps change until the rate falls; that share may begin before. MISMATCH
 * where of the steps that were made, up to `step`, others would be in it with another number. */
gboolean
gem_train_routed_check(GemGguf *checkpoint, guint64 step, double routed_share, guint64 steps, GError **error);
