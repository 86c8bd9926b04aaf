/*
 * The Dynamic Token Router as it is trained: a small BERT encoder (model.md; the paper's section on the token
 * router), pre-norm, RoPE, GELU, attention inside a window, and a linear classifier over the domains. P(d |
 * token) = softmax(W_r e).
 */
#pragma once

#include "format/gem-model-shape.h"
#include "training/network/gem-parameters.h"
#include "training/text/gem-batch.h"

typedef struct {
  gsize attention_norm, query, attention_output, ffn_norm, up, down;
} GemRouterLayer;

typedef struct {
  GemRouterShape shape;
  char **domains; /* names of the classes */
  GemParameters *parameters;
  gsize embedding, projection, output_norm,
      classifier; /* projection: G_MAXSIZE when the embedding has the width */
  GemRouterLayer *layers;
  float *rope_table;
  gsize positions;
} GemRouterNetwork;

GemRouterNetwork *
gem_router_network_new(const GemRouterShape *shape, const char *const *domains, gsize positions);
void
gem_router_network_free(GemRouterNetwork *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRouterNetwork, gem_router_network_free)

typedef struct _GemRouterPass GemRouterPass;
GemRouterPass *
gem_router_pass_new(const GemRouterNetwork *network);
void
gem_router_pass_free(GemRouterPass *pass);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRouterPass, gem_router_pass_free)

/* A target of this class pulls a token's probabilities towards the uniform distribution: general text. */
#define GEM_ROUTER_UNIFORM G_MAXINT32

/* One pass. batch->target holds the class of each token (or GEM_ROUTER_UNIFORM; -1: none), batch->prefix how
 * many tokens of a sequence see each other both ways. `gradients` (NULL: forward only) gets that of scale *
 * sum of weighted cross-entropies added. Returns that sum, unscaled. probabilities[n][n_domains] of the batch
 * stay in gem_router_pass_probabilities until the next run. */
double
gem_router_network_run(const GemRouterNetwork *self,
                       const float *values,
                       const GemBatch *batch,
                       float scale,
                       GemRouterPass *pass,
                       float *gradients);
const float *
gem_router_pass_probabilities(const GemRouterPass *pass);
/* [n][width], what the classifier was given in the last run. */
const float *
gem_router_pass_features(const GemRouterPass *pass);

/* batch->route from the last pass: the likeliest domain where its probability is above tau, else general. */
void
gem_router_pass_routes(const GemRouterNetwork *self,
                       const GemRouterPass *pass,
                       float threshold,
                       GemBatch *batch);
