/* The way back through the decoder: for each layer, from the gradient of its output to that of its input. */
#include "training/network/gem-backbone-internal.h"

#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-attention-block.h"

/* The place of a tensor's gradient; NULL when the tensor does not learn. */
static float *
place_of(float *gradients, gsize offset)
{
  return offset != GEM_FROZEN ? gradients + offset : NULL;
}

/* One SwiGLU: adds the gradients of its matrices, and writes that of its input; what is NULL is left out.
 * `muted`: the backbone of a general one, whose rows of routed tokens may be silent. */
static void
swiglu_backward(const GemBackbone *muted,
                GemBackbonePass *pass,
                const float *gate,
                const float *down,
                gsize n,
                gsize width,
                gsize ffn,
                const float *input,
                const float *gate_up,
                const float *hidden,
                const float *d_out,
                float *d_input,
                float *d_gate,
                float *d_down)
{
  if (d_down != NULL) {
    gem_matmul(TRUE, FALSE, width, ffn, n, d_out, width, hidden, ffn, TRUE, d_down, ffn);
  }
  if (d_gate == NULL && d_input == NULL) {
    return;
  }
  gem_matmul(FALSE, FALSE, n, ffn, width, d_out, width, down, ffn, FALSE, pass->d_hidden, ffn);
  if (muted != NULL) {
    gem_backbone_mute_routed(muted, pass, pass->d_hidden, ffn);
  }
  gem_swiglu_backward(gate_up, pass->d_hidden, n, ffn, pass->d_gate_up);
  if (d_gate != NULL) {
    gem_matmul(TRUE, FALSE, 2 * ffn, width, n, pass->d_gate_up, 2 * ffn, input, width, TRUE, d_gate, width);
  }
  if (d_input != NULL) {
    gem_matmul(FALSE, FALSE, n, width, 2 * ffn, pass->d_gate_up, 2 * ffn, gate, width, FALSE, d_input, width);
  }
}

/* The residuals of the routed tokens; adds to d_norm [n][D] what flows back through them when `flows`. */
static void
domains_backward(const GemBackbone *self,
                 const float *values,
                 guint l,
                 GemBackbonePass *pass,
                 const GemGradientMap *map,
                 gboolean flows,
                 float *gradients)
{
  const GemBackboneLayer *layer = &self->layers[l], *to = &map->layers[l];
  const GemLayerRecord *record = gem_backbone_record(pass, l);
  gsize width = self->shape.width, ffn = self->shape.domain_ffn;
  for (guint d = 0; d < self->shape.n_domains; d++) {
    gsize first = pass->domain_start[d], count = pass->domain_start[d + 1] - first;
    if (count == 0) {
      continue;
    }
    for (gsize i = 0; i < count; i++) {
      memcpy(pass->d_domain + i * width, pass->d_stream + pass->order[first + i] * width,
             width * sizeof(float));
    }
    swiglu_backward(NULL, pass, values + layer->domain_gate[d], values + layer->domain_down[d], count, width,
                    ffn, record->domain_input + first * width, record->domain_gate_up + first * 2 * ffn,
                    record->domain_hidden + first * ffn, pass->d_domain, flows ? pass->domain_out : NULL,
                    place_of(gradients, to->domain_gate[d]), place_of(gradients, to->domain_down[d]));
    for (gsize i = 0; flows && i < count; i++) {
      gem_vector_add(pass->d_norm + pass->order[first + i] * width, pass->domain_out + i * width, width);
    }
  }
}

/* From the gradient of a layer's output to that of the stream between attention and feed-forward; without
 * `flows` only the gradients of the feed-forward's matrices. */
static void
feed_forward_backward(const GemBackbone *self,
                      const float *values,
                      guint l,
                      gsize n,
                      GemBackbonePass *pass,
                      const GemGradientMap *map,
                      gboolean flows,
                      float *gradients)
{
  const GemBackboneLayer *layer = &self->layers[l], *to = &map->layers[l];
  const GemLayerRecord *record = gem_backbone_record(pass, l);
  gsize width = self->shape.width;
  swiglu_backward(self, pass, values + layer->gate, values + layer->down, n, width, self->shape.ffn,
                  record->ffn_input, record->gate_up, record->hidden, pass->d_stream,
                  flows ? pass->d_norm : NULL, place_of(gradients, to->gate), place_of(gradients, to->down));
  domains_backward(self, values, l, pass, map, flows, gradients);
  if (flows) {
    gem_backbone_drop(pass, l, GEM_DROPPED_FFN_INPUT, pass->d_norm, n * width);
    gem_rms_norm_backward(record->middle, values + layer->ffn_norm, record->ffn_inverse, pass->d_norm, n,
                          width, pass->d_stream, place_of(gradients, to->ffn_norm));
  }
}

static void
attention_backward(const GemBackbone *self,
                   const float *values,
                   guint l,
                   const GemBatch *batch,
                   gboolean sparse,
                   GemBackbonePass *pass,
                   const GemGradientMap *map,
                   float *gradients)
{
  const GemModelShape *shape = &self->shape;
  const GemBackboneLayer *layer = &self->layers[l], *to = &map->layers[l];
  const GemLayerRecord *record = gem_backbone_record(pass, l);
  gsize n = batch->n, width = shape->width, qkv = gem_backbone_qkv_width(shape),
        heads = (gsize)shape->heads * shape->head_dim;
  if (to->attention_output != GEM_FROZEN) {
    gem_matmul(TRUE, FALSE, width, heads, n, pass->d_stream, width, record->attention, heads, TRUE,
               gradients + to->attention_output, heads);
  }
  gem_matmul(FALSE, FALSE, n, heads, width, pass->d_stream, width, values + layer->attention_output, heads,
             FALSE, pass->d_attention, heads);
  gem_backbone_drop(pass, l, GEM_DROPPED_ATTENTION, pass->d_attention, n * heads);
  GemAttentionView view = {shape->heads, shape->kv_heads, shape->head_dim,  sparse ? record->clusters : NULL,
                           FALSE,        shape->window,   shape->successors};
  gem_attention_block_backward(&view, batch, record->qkv, record->probabilities, pass->d_attention,
                               pass->square, pass->d_qkv);
  gem_rope_apply(pass->d_qkv, qkv, batch->position, n, shape->heads + shape->kv_heads, shape->head_dim,
                 shape->rope_dim, self->rope_table, -1);
  if (to->query != GEM_FROZEN) {
    gem_matmul(TRUE, FALSE, qkv, width, n, pass->d_qkv, qkv, record->attention_input, width, TRUE,
               gradients + to->query, width);
  }
  gem_matmul(FALSE, FALSE, n, width, qkv, pass->d_qkv, qkv, values + layer->query, width, FALSE, pass->d_norm,
             width);
  gem_rms_norm_backward(record->input, values + layer->attention_norm, record->attention_inverse,
                        pass->d_norm, n, width, pass->d_stream, place_of(gradients, to->attention_norm));
}

static gboolean
feed_forward_learns(const GemBackboneLayer *to, guint n_domains)
{
  gboolean learns = to->gate != GEM_FROZEN || to->down != GEM_FROZEN;
  for (guint d = 0; d < n_domains; d++) {
    learns |= to->domain_gate[d] != GEM_FROZEN || to->domain_down[d] != GEM_FROZEN;
  }
  return learns;
}

static gboolean
attention_learns(const GemBackboneLayer *to)
{
  return to->attention_norm != GEM_FROZEN || to->query != GEM_FROZEN || to->attention_output != GEM_FROZEN ||
         to->ffn_norm != GEM_FROZEN;
}

/* On entry pass->d_norm is the gradient of the final norm's result. The way back ends at the lowest layer
 * that learns. */
void
gem_backbone_backward(const GemBackbone *self,
                      const float *values,
                      const GemBatch *batch,
                      int cluster_set,
                      GemBackbonePass *pass,
                      const GemGradientMap *map,
                      float *gradients)
{
  const GemModelShape *shape = &self->shape;
  gsize n = batch->n, width = shape->width;
  gboolean embedding_learns = map->embedding != GEM_FROZEN;
  guint lowest = 0;
  while (!embedding_learns && lowest < shape->layers && !attention_learns(&map->layers[lowest]) &&
         !feed_forward_learns(&map->layers[lowest], shape->n_domains)) {
    lowest++;
  }
  memset(pass->d_stream, 0, n * width * sizeof(float));
  gem_rms_norm_backward(pass->stream, values + self->output_norm, pass->final_inverse, pass->d_norm, n, width,
                        pass->d_stream, place_of(gradients, map->output_norm));
  for (guint l = shape->layers; l-- > lowest;) {
    gboolean flows = l > lowest || embedding_learns || attention_learns(&map->layers[l]);
    feed_forward_backward(self, values, l, n, pass, map, flows, gradients);
    if (flows) {
      attention_backward(self, values, l, batch, cluster_set >= 0, pass, map, gradients);
    }
  }
  gem_backbone_drop(pass, 0, GEM_DROPPED_EMBEDDING, pass->d_stream, n * width);
  for (gsize i = 0; embedding_learns && i < n; i++) {
    gem_vector_add(gradients + map->embedding + batch->token[i] * width, pass->d_stream + i * width, width);
  }
}
