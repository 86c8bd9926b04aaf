/* The model as the trainer has it: both networks in floats, made of descriptors, with one residual more when
 * a new domain is learned. */
#pragma once

#include "adaptation/gem-adapt-packet.h"
#include "format/gem-learned-file.h"
#include "format/gem-tokenizer.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-router-network.h"

typedef struct {
  GemModelShape shape; /* as general.gguf has it */
  GemLearnedBase base; /* borrows of this and of the start */
  GemTokenizer *tokenizer;
  GemBackbone *backbone; /* its domains: the model's, and a new one behind them */
  GemCentroids *centroids;
  float *values;
  int cluster_set; /* -1: dense */
  GemRouterNetwork *router;
  float *router_values;
  gint8 learned;                     /* index of the residual that learns */
  gint8 replaced;                    /* class that it stands in for, the same index; -1: none */
  gboolean present[GEM_MAX_DOMAINS]; /* which residuals there are; the others' tokens run as general */
} GemAdaptModel;

/* Checks hashes, keys and shapes of all files, and that there will be memory: for that many tokens of text.
 * Borrows `start`, which outlives it. Errors name the file. */
GemAdaptModel *
gem_adapt_model_new(const GemAdaptStart *start, GError **error);
void
gem_adapt_model_free(GemAdaptModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptModel, gem_adapt_model_free)

/* The part of the backbone's parameters that learns: "pathway-NAME". Transfer full. */
char *
gem_adapt_model_part(const GemAdaptModel *self);

/* The residual that learns becomes that of another domain. */
void
gem_adapt_model_start_from(GemAdaptModel *self, gint8 domain);

/* A copy of the floats of that part, one tensor after another, and back again. Transfer full. */
float *
gem_adapt_model_copy_residual(const GemAdaptModel *self);
void
gem_adapt_model_put_residual(GemAdaptModel *self, const float *copy);
