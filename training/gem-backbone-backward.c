/* The way back through the decoder: for each layer, from the gradient of its output to that of its input. */
#include "training/gem-backbone-internal.h"

#include <string.h>

#include "training/gem-attention-block.h"
#include "training/gem-matmul.h"
#include "training/gem-vector.h"

/* One SwiGLU: adds the gradients of its matrices, and writes (or adds) that of its input. */
static void
swiglu_backward(GemBackbonePass *pass,
                const float *values,
                gsize gate,
                gsize down,
                gsize n,
                gsize width,
                gsize ffn,
                const float *input,
                const float *gate_up,
                const float *hidden,
                const float *d_out,
                float *d_input,
                float *gradients)
{
  gem_matmul(TRUE, FALSE, width, ffn, n, d_out, width, hidden, ffn, TRUE, gradients + down, ffn);
  gem_matmul(FALSE, FALSE, n, ffn, width, d_out, width, values + down, ffn, FALSE, pass->d_hidden, ffn);
  gem_swiglu_backward(gate_up, pass->d_hidden, n, ffn, pass->d_gate_up);
  gem_matmul(TRUE, FALSE, 2 * ffn, width, n, pass->d_gate_up, 2 * ffn, input, width, TRUE, gradients + gate,
             width);
  gem_matmul(FALSE, FALSE, n, width, 2 * ffn, pass->d_gate_up, 2 * ffn, values + gate, width, FALSE, d_input,
             width);
}

/* Adds to d_norm [n][D] what flows back through the residuals of the routed tokens. */
static void
domains_backward(const GemBackbone *self,
                 const float *values,
                 const GemBackboneLayer *layer,
                 const GemLayerRecord *record,
                 GemBackbonePass *pass,
                 float *gradients)
{
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
    swiglu_backward(pass, values, layer->domain_gate[d], layer->domain_down[d], count, width, ffn,
                    record->domain_input + first * width, record->domain_gate_up + first * 2 * ffn,
                    record->domain_hidden + first * ffn, pass->d_domain, pass->domain_out, gradients);
    for (gsize i = 0; i < count; i++) {
      gem_vector_add(pass->d_norm + pass->order[first + i] * width, pass->domain_out + i * width, width);
    }
  }
}

static void
attention_backward(const GemBackbone *self,
                   const float *values,
                   guint l,
                   const GemBatch *batch,
                   gboolean sparse,
                   GemBackbonePass *pass,
                   float *gradients)
{
  const GemModelShape *shape = &self->shape;
  const GemBackboneLayer *layer = &self->layers[l];
  const GemLayerRecord *record = &pass->layers[l];
  gsize n = batch->n, width = shape->width, qkv = gem_backbone_qkv_width(shape),
        heads = (gsize)shape->heads * shape->head_dim;
  gem_matmul(TRUE, FALSE, width, heads, n, pass->d_stream, width, record->attention, heads, TRUE,
             gradients + layer->attention_output, heads);
  gem_matmul(FALSE, FALSE, n, heads, width, pass->d_stream, width, values + layer->attention_output, heads,
             FALSE, pass->d_attention, heads);
  GemAttentionView view = {shape->heads, shape->kv_heads, shape->head_dim, sparse ? record->clusters : NULL,
                           FALSE,        shape->window};
  gem_attention_block_backward(&view, batch, record->qkv, record->probabilities, pass->d_attention,
                               pass->square, pass->d_qkv);
  gem_rope_apply(pass->d_qkv, qkv, batch->position, n, shape->heads + shape->kv_heads, shape->head_dim,
                 shape->rope_dim, self->rope_table, -1);
  gem_matmul(TRUE, FALSE, qkv, width, n, pass->d_qkv, qkv, record->attention_input, width, TRUE,
             gradients + layer->query, width);
  gem_matmul(FALSE, FALSE, n, width, qkv, pass->d_qkv, qkv, values + layer->query, width, FALSE, pass->d_norm,
             width);
  gem_rms_norm_backward(record->input, values + layer->attention_norm, record->attention_inverse,
                        pass->d_norm, n, width, pass->d_stream, gradients + layer->attention_norm);
}

/* On entry pass->d_norm is the gradient of the final norm's result. */
void
gem_backbone_backward(const GemBackbone *self,
                      const float *values,
                      const GemBatch *batch,
                      gboolean sparse,
                      GemBackbonePass *pass,
                      float *gradients)
{
  const GemModelShape *shape = &self->shape;
  gsize n = batch->n, width = shape->width;
  memset(pass->d_stream, 0, n * width * sizeof(float));
  gem_rms_norm_backward(pass->stream, values + self->output_norm, pass->final_inverse, pass->d_norm, n, width,
                        pass->d_stream, gradients + self->output_norm);
  for (guint l = shape->layers; l-- > 0;) {
    const GemBackboneLayer *layer = &self->layers[l];
    const GemLayerRecord *record = &pass->layers[l];
    swiglu_backward(pass, values, layer->gate, layer->down, n, width, shape->ffn, record->ffn_input,
                    record->gate_up, record->hidden, pass->d_stream, pass->d_norm, gradients);
    domains_backward(self, values, layer, record, pass, gradients);
    gem_rms_norm_backward(record->middle, values + layer->ffn_norm, record->ffn_inverse, pass->d_norm, n,
                          width, pass->d_stream, gradients + layer->ffn_norm);
    attention_backward(self, values, l, batch, sparse, pass, gradients);
  }
  for (gsize i = 0; i < n; i++) {
    gem_vector_add(gradients + self->embedding + batch->token[i] * width, pass->d_stream + i * width, width);
  }
}
