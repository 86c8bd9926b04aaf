/* What the forward and the backward half of the backbone share. */
#pragma once

#include "training/arithmetic/gem-dropout.h"
#include "training/network/gem-backbone.h"

/* What the way back needs of one layer; [n] rows each. */
typedef struct {
  float *input;             /* [n][D] the residual stream before the layer */
  float *attention_inverse; /* [n] */
  float *attention_input;   /* [n][D] u, after the norm */
  float *qkv;               /* [n][(H + 2 KV) hd], rotated */
  guint8 *clusters;         /* [n] under the pass's set */
  float *probabilities;     /* squares, see gem_attention_block_probabilities */
  gsize probabilities_size;
  float *attention;      /* [n][H hd] */
  float *middle;         /* [n][D] the residual stream after attention */
  float *ffn_inverse;    /* [n] */
  float *ffn_input;      /* [n][D] */
  float *gate_up;        /* [n][2 F] */
  float *hidden;         /* [n][F] */
  float *domain_input;   /* [routed][D], gathered by domain */
  float *domain_gate_up; /* [routed][2 Fd] */
  float *domain_hidden;  /* [routed][Fd] */
} GemLayerRecord;

struct _GemBackbonePass {
  gsize capacity;         /* tokens */
  gsize longest;          /* tokens of the longest sequence so far */
  guint n_records;        /* one a layer; forward only: one for all of them */
  GemLayerRecord *layers; /* [n_records] */
  float *stream;          /* [n][D] after the last layer */
  float *final_inverse;   /* [n] */
  float *final;           /* [n][D] after the output norm */
  float *logits;          /* [GEM_LOGIT_ROWS][V] */
  float *teacher;         /* the same of another pass, for distillation; NULL until it is used */
  guint8 *visible;        /* [longest] */
  GemDropout dropout;
  /* rows of each domain, gathered: order[domain_start[d] .. domain_start[d + 1]) are token indices */
  guint32 *order;
  gsize domain_start[GEM_MAX_DOMAINS + 1];
  /* the way back */
  float *d_stream, *d_norm, *d_qkv, *d_attention, *d_gate_up, *d_hidden, *square;
  float *d_domain, *domain_out;
};

#define GEM_LOGIT_ROWS 512

/* The arrays that are dropped from: the first is of layer 0, the others are of each layer. */
typedef enum {
  GEM_DROPPED_EMBEDDING,
  GEM_DROPPED_ATTENTION, /* what the heads gathered, before the output projection */
  GEM_DROPPED_FFN_INPUT, /* of the general feed-forward and the domain's alike */
  GEM_N_DROPPED,
} GemDropped;

void
gem_backbone_drop(const GemBackbonePass *pass, guint layer, GemDropped array, float *x, gsize n);

/* Of `rows` rows of final[rows][D]: logits[rows][V], rows <= GEM_LOGIT_ROWS where they are a pass's. */
void
gem_backbone_logits(
    const GemBackbone *self, const float *values, const float *final, gsize rows, float *logits);

gsize
gem_backbone_qkv_width(const GemModelShape *shape);

/* Of an exclusive backbone: the rows [n][d] of routed tokens become 0; of any other nothing does. */
void
gem_backbone_mute_routed(const GemBackbone *self, const GemBackbonePass *pass, float *rows, gsize d);

static inline GemLayerRecord *
gem_backbone_record(const GemBackbonePass *pass, guint layer)
{
  return &pass->layers[MIN(layer, pass->n_records - 1)];
}
