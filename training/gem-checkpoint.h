/* What the commands read of each other's results: tokenizers, checkpoints of either network, model folders.
 */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/gem-centroids.h"
#include "training/gem-router-network.h"

/* From a .gguf file or a SentencePiece .model file, told apart by the first bytes. */
GemTokenizer *
gem_checkpoint_open_tokenizer(const char *path, GError **error);

typedef struct {
  GemRouterNetwork *network;
  float *values;
} GemRouterCheckpoint;

/* A checkpoint of `gem-train router`, or router.gguf of a model folder. `positions`: tokens of the longest
 * sequence. */
GemRouterCheckpoint *
gem_router_checkpoint_load(const char *path, gsize positions, GError **error);
void
gem_router_checkpoint_free(GemRouterCheckpoint *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRouterCheckpoint, gem_router_checkpoint_free)

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  float *values;
  GemTokenizer *tokenizer; /* NULL from a checkpoint */
} GemBackboneCheckpoint;

/* A checkpoint of `gem-train pretrain`, a model folder, or a Llama-architecture GGUF; quantized tensors are
 * widened. */
GemBackboneCheckpoint *
gem_backbone_checkpoint_load(const char *path, gsize positions, GError **error);
void
gem_backbone_checkpoint_free(GemBackboneCheckpoint *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackboneCheckpoint, gem_backbone_checkpoint_free)
