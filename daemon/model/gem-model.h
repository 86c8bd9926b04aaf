/*
 * The part of the weights that every token runs through, but for the feed-forward: embedding, attention
 * projections, norms and output, in the backend's own form. For the engine thread alone.
 */
#pragma once

#include "format/gem-model-shape.h"
#include "plugins/gem-plugin.h"

typedef struct {
  float *attention_norm; /* [width] */
  float *ffn_norm;       /* [width] */
  GemMatrix *query;      /* [heads * head_dim][width] */
  GemMatrix *key;        /* [kv_heads * head_dim][width] */
  GemMatrix *value;      /* [kv_heads * head_dim][width] */
  GemMatrix *output;     /* [width][heads * head_dim] */
} GemModelLayer;

typedef struct {
  const GemModelShape *shape; /* outlives the model */
  const GemBackend *backend;  /* outlives the model */
  GemMatrix *embedding;       /* [vocab][width] */
  GemMatrix *output;          /* [vocab][width]; the embedding when it is tied */
  float *output_norm;         /* [width] */
  GemModelLayer *layers;      /* [layers] */
} GemModel;

/* Packs the tensors of general.gguf (or of a Llama-architecture file). GEM_ERROR_MODEL names file and tensor;
 * the format's errors pass through. */
GemModel *
gem_model_new(GemGguf *file, const GemModelShape *shape, const GemBackend *backend, GError **error);
void
gem_model_free(GemModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModel, gem_model_free)

/* Memory that the weights take. */
gsize
gem_model_bytes(const GemModel *self);
