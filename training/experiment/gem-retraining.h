/* A whole network - general part, residuals of all domains, centroids - learns a little further on a mixture
 * of all text: how variations of a model get the same tokens from the same start. */
#pragma once

#include "training/network/gem-centroids.h"
#include "training/text/gem-corpus.h"
#include "training/text/gem-pretrain-draw.h"

typedef struct {
  int cluster_set;         /* which centroids mask attention; -1: dense */
  gboolean keep_centroids; /* else they follow their inputs */
  guint steps, warm_up, batch_tokens, sequence, lanes;
  double rate;
  guint64 seed;
  guint32 bos;
  GemDrawShares shares;
  GemPretrainDrawOptions draw; /* without input_dropout */
  const char *title;           /* of progress lines */
} GemRetrainingOptions;

/* Documents run through the residual of their label. Errors: a loss that is not finite;
 * G_IO_ERROR_CANCELLED by a signal, with the values as they were. */
gboolean
gem_retrain(GemBackbone *backbone,
            GemCentroids *centroids,
            float *values,
            const GemCorpus *corpus,
            const GemRetrainingOptions *options,
            GError **error);
