/*
 * The decoder of model.md, forward and backward, in single precision: RMSNorm, RoPE, attention under SCAR's
 * mask (or dense), the general SwiGLU and one residual SwiGLU a domain. Any Llama-architecture model is the
 * case without domains and clusters.
 */
#pragma once

#include "format/gem-model-shape.h"
#include "training/network/gem-parameters.h"
#include "training/text/gem-batch.h"

/* Offsets of one layer's tensors in the parameter array, and of its centroids (one set after another) in
 * theirs. */
typedef struct {
  gsize attention_norm, query, attention_output, ffn_norm, gate,
      down; /* query: q, k and v as one matrix; gate: gate and up */
  gsize domain_gate[GEM_MAX_DOMAINS], domain_down[GEM_MAX_DOMAINS];
} GemBackboneLayer;

/* Where the gradients of tensors go: offsets in an array of gradients, which may be smaller than that of the
 * values. What is GEM_FROZEN does not learn, and its gradient is not computed. */
#define GEM_FROZEN G_MAXSIZE
typedef struct {
  gsize embedding, output_norm, output;
  GemBackboneLayer *layers;
} GemGradientMap;

typedef struct {
  GemModelShape shape;
  GemParameters *parameters;
  gsize embedding, output_norm, output; /* output == embedding when tied */
  GemBackboneLayer *layers;
  GemGradientMap everything; /* the gradients of all tensors, laid out as the values; borrows `layers` */
  float *rope_table;         /* [positions][rope_dim] */
  gsize positions;           /* longest sequence */
  gboolean exclusive;        /* a routed token runs its domain's feed-forward in place of the general one, not
                                beside it: to compare with; no file says so, and no engine runs it */
} GemBackbone;

/* Takes over `shape` (cleared in the caller's place). `positions`: tokens of the longest sequence that it
 * will see. */
GemBackbone *
gem_backbone_new(GemModelShape *shape, gsize positions);
void
gem_backbone_free(GemBackbone *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackbone, gem_backbone_free)

/* SCAR's centroids: unit rows [layer][set][cluster][width], sets in the order of shape.clusters. */
gsize
gem_backbone_n_centroids(const GemBackbone *self); /* rows in all */
gsize
gem_backbone_centroids_at(const GemBackbone *self, guint layer, guint set); /* first row of a set */

/* What one pass needs and leaves: made once a thread, grown as needed. */
typedef struct _GemBackbonePass GemBackbonePass;
GemBackbonePass *
gem_backbone_pass_new(const GemBackbone *backbone);
/* One without a way back: its layers share their memory, so that only what the last one leaves is there. */
GemBackbonePass *
gem_backbone_pass_new_forward(const GemBackbone *backbone);
void
gem_backbone_pass_free(GemBackbonePass *pass);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackbonePass, gem_backbone_pass_free)

/* From now on forward and backward drop this share (0, as it is at first, to less than 1) of the embedding's
 * values, of what attention gathers and of the feed-forwards' inputs. `seed` is of one batch: the same drops
 * the same. */
void
gem_backbone_pass_set_dropout(GemBackbonePass *pass, double share, guint64 seed);

typedef struct {
  double loss; /* sum of -log p over tokens that have a target and, where anything is learned, a weight
                  or a fork, in nats, unweighted */
  double weighted_loss; /* the same, each times its weight, and those of the batch's forks and contests, times
                           theirs */
  gsize tokens;         /* how many those are */
} GemLoss;

/* One pass over a batch. cluster_set: which centroids mask attention; -1: dense. `gradients` (size of the
 * parameters; NULL: forward only) gets the gradient of scale * weighted_loss added. `token_loss` (NULL: not
 * wanted): [n], -log p of each target, 0 where there is none. */
void
gem_backbone_run(const GemBackbone *self,
                 const float *values,
                 const float *centroids,
                 int cluster_set,
                 const GemBatch *batch,
                 float scale,
                 GemBackbonePass *pass,
                 float *gradients,
                 float *token_loss,
                 GemLoss *ret_loss);

/* The three parts of a pass, for losses other than that of gem_backbone_run (gem-backbone-losses.h). Forward
 * ends with the normed states of the last layer; a loss leaves their gradient in the pass; backward adds to
 * `gradients` what `map` wants. */
void
gem_backbone_forward(const GemBackbone *self,
                     const float *values,
                     const float *centroids,
                     int cluster_set,
                     const GemBatch *batch,
                     GemBackbonePass *pass);
void
gem_backbone_backward(const GemBackbone *self,
                      const float *values,
                      const GemBatch *batch,
                      int cluster_set,
                      GemBackbonePass *pass,
                      const GemGradientMap *map,
                      float *gradients);
/* [n][width], after the last norm, of the last forward. */
const float *
gem_backbone_pass_final(const GemBackbonePass *pass);

/* Of the last pass: the clusters' inputs, for the online k-means: sums[row][width] += unit inputs,
 * counts[row] += 1, for all sets. */
void
gem_backbone_collect_clusters(const GemBackbone *self,
                              const float *centroids,
                              const GemBatch *batch,
                              const GemBackbonePass *pass,
                              float *sums,
                              double *counts);
/* Of the last pass: the normed input of attention u[n][width] in a layer. */
const float *
gem_backbone_pass_attention_input(const GemBackbonePass *pass, guint layer);

/* logits[vocab] of the last token of each sequence. */
void
gem_backbone_last_logits(const GemBackbone *self,
                         const float *values,
                         const GemBatch *batch,
                         GemBackbonePass *pass,
                         float *logits);
