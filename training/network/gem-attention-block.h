/*
 * Attention over the sequences of a batch, forward and backward, for both networks: they differ in what a
 * token sees. The paper's SCAR (section on sparse cross-attention) is a mask here: training computes it
 * densely.
 */
#pragma once

#include "training/text/gem-batch.h"

typedef struct {
  gsize heads, kv_heads, head_dim;
  /* What token i of a sequence sees of token j:
   *   clusters given:  j <= i and (cluster[i] == cluster[j] or i - j < window or j == 0); with successors
   *                    cluster[j - 1] stands for cluster[j]
   *   bidirectional:   |i - j| < window and (j <= i or both are inside the sequence's prefix)
   *   neither:         j <= i */
  const guint8 *clusters; /* [n] or NULL */
  gboolean bidirectional;
  gsize window;
  gboolean successors;
} GemAttentionView;

/* Floats that gem_attention_block_forward keeps for the way back: one square a head and sequence. */
gsize
gem_attention_block_probabilities(const GemBatch *batch, gsize heads);

/* qkv is [n][(heads + 2 kv_heads) head_dim], rotated; out[n][heads head_dim]. `scratch` holds a byte for each
 * token of the longest sequence. */
void
gem_attention_block_forward(const GemAttentionView *view,
                            const GemBatch *batch,
                            const float *qkv,
                            float *probabilities,
                            guint8 *scratch,
                            float *out);

/* dqkv[n][...] from dout[n][heads head_dim]; `square` is scratch of (longest sequence)^2 floats. */
void
gem_attention_block_backward(const GemAttentionView *view,
                             const GemBatch *batch,
                             const float *qkv,
                             const float *probabilities,
                             const float *dout,
                             float *square,
                             float *dqkv);
