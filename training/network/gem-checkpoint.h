/* What the commands read of each other's results: tokenizers, checkpoints of either network, model folders.
 */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-router-network.h"

/* From a .gguf file, or a SentencePiece file, which is one by its name's end in .model. */
GemTokenizer *
gem_checkpoint_open_tokenizer(const char *path, GError **error);

/* The tokenizer of the file has as many tokens as the model; else an error that names both. */
gboolean
gem_checkpoint_check_vocabulary(
    GemTokenizer *tokenizer, const char *path, guint vocab, const char *model, GError **error);

/* The mark of what learned from tasks that are not permissive: TRUE in a checkpoint, or in a file of a model
 * folder whose tensors did; not there in all others. It is for measuring, and whatever is made of it bears
 * the mark, too. */
#define GEM_CHECKPOINT_ALL_LICENCES "train.all_licences"
gboolean
gem_checkpoint_has_mark(GemGguf *file);
/* FALSE: it is marked and that is not `allowed`; the error names the path and the option that allows it. */
gboolean
gem_checkpoint_check_licences(gboolean marked, gboolean allowed, const char *path, GError **error);

typedef struct {
  GemRouterNetwork *network;
  float *values;
  gboolean is_exported;  /* it is a model's router.gguf */
  gboolean all_licences; /* it bears the mark */
} GemRouterCheckpoint;

/* A checkpoint of `gem-train router`, or router.gguf of a model folder. `positions`: tokens of the longest
 * sequence. */
GemRouterCheckpoint *
gem_router_checkpoint_load(const char *path, gsize positions, GError **error);
void
gem_router_checkpoint_free(GemRouterCheckpoint *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRouterCheckpoint, gem_router_checkpoint_free)
/* The router has the vocabulary and the domains of the model; else an error that names both. */
gboolean
gem_router_checkpoint_check(const GemRouterCheckpoint *self,
                            const char *path,
                            const GemModelShape *shape,
                            const char *model,
                            GError **error);

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  float *values;
  GemTokenizer *tokenizer; /* NULL from a checkpoint */
  gboolean all_licences;   /* it bears the mark */
} GemBackboneCheckpoint;

/* A checkpoint of `gem-train pretrain`, a model folder, or a Llama-architecture GGUF; quantized tensors are
 * widened. */
GemBackboneCheckpoint *
gem_backbone_checkpoint_load(const char *path, gsize positions, GError **error);
/* What no tensor's shape shows is the same: heads and rotation, by which the same weights are read in another
 * way, and that there are no more layers and domains than are read. Else an error that names the path and
 * what differs. */
gboolean
gem_checkpoint_check_heads(const GemModelShape *its,
                           const GemModelShape *wanted,
                           const char *path,
                           GError **error);
/* The sets of centroids are the same; else an error that names the path. */
gboolean
gem_checkpoint_check_clusters(const GemModelShape *its,
                              const GemModelShape *wanted,
                              const char *path,
                              GError **error);
/* What a token sees is the same, where attention works by clusters; else an error that names the path and
 * both. */
gboolean
gem_checkpoint_check_mask(const GemModelShape *its,
                          const GemModelShape *wanted,
                          const char *path,
                          GError **error);
/* The checkpoint of `path` has the tensors, the heads and the clusters of `backbone`; else an error that
 * names the path.
 */
gboolean
gem_backbone_checkpoint_check_same(const GemBackboneCheckpoint *self,
                                   const GemBackbone *backbone,
                                   const char *path,
                                   GError **error);
/* What tells a reader of the file which network it is, and the centroids; the values are the caller's. */
gboolean
gem_backbone_checkpoint_describe(const GemBackbone *backbone,
                                 const GemCentroids *centroids,
                                 gboolean all_licences,
                                 GemGgufWriter *writer,
                                 GError **error);
/* A checkpoint that no training was stopped at: everything reads it but --resume. */
gboolean
gem_backbone_checkpoint_write(const GemBackboneCheckpoint *self, const char *path, GError **error);
void
gem_backbone_checkpoint_free(GemBackboneCheckpoint *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackboneCheckpoint, gem_backbone_checkpoint_free)
