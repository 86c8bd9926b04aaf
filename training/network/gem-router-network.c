#include "training/network/gem-router-network.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-attention-block.h"

/* What the way back needs of one layer; [n] rows each. */
typedef struct {
  float *input, *attention_inverse, *attention_input, *qkv, *attention, *middle, *ffn_inverse, *ffn_input,
      *up, *hidden;
  float *probabilities;
} LayerRecord;

struct _GemRouterPass {
  guint n_layers;
  gsize capacity, longest, squares;
  LayerRecord *layers;
  float *embedded, *stream, *final_inverse, *final, *logits;
  float *d_stream, *d_norm, *d_qkv, *d_attention, *d_hidden, *square, *d_logits;
  guint8 *visible;
};

GemRouterNetwork *
gem_router_network_new(const GemRouterShape *shape, const char *const *domains, gsize positions)
{
  GemRouterNetwork *self = g_new0(GemRouterNetwork, 1);
  self->shape = *shape;
  self->domains = g_strdupv((char **)domains);
  self->positions = positions;
  GemParameters *set = self->parameters = gem_parameters_new();
  gsize width = shape->width, ffn = shape->ffn;
  float deviation = 0.02f, into_stream = 0.02f / sqrtf(2.0f * (float)shape->layers);
  self->embedding =
      gem_parameters_add(set, "router", shape->vocab, shape->embedding, deviation, "token_embd.weight");
  self->projection = G_MAXSIZE;
  if (shape->embedding != shape->width) {
    self->projection =
        gem_parameters_add(set, "router", width, shape->embedding, 0.05f, "embedding_projection.weight");
  }
  self->layers = g_new0(GemRouterLayer, shape->layers);
  for (guint l = 0; l < shape->layers; l++) {
    GemRouterLayer *layer = &self->layers[l];
    layer->attention_norm = gem_parameters_add(set, "router", 1, width, -1.0f, "blk.%u.attn_norm.weight", l);
    layer->query = gem_parameters_add(set, "router", width, width, deviation, "blk.%u.attn_q.weight", l);
    gem_parameters_add(set, "router", width, width, deviation, "blk.%u.attn_k.weight", l);
    gem_parameters_add(set, "router", width, width, deviation, "blk.%u.attn_v.weight", l);
    layer->attention_output =
        gem_parameters_add(set, "router", width, width, into_stream, "blk.%u.attn_output.weight", l);
    layer->ffn_norm = gem_parameters_add(set, "router", 1, width, -1.0f, "blk.%u.ffn_norm.weight", l);
    layer->up = gem_parameters_add(set, "router", ffn, width, deviation, "blk.%u.ffn_up.weight", l);
    layer->down = gem_parameters_add(set, "router", width, ffn, into_stream, "blk.%u.ffn_down.weight", l);
  }
  self->output_norm = gem_parameters_add(set, "router", 1, width, -1.0f, "output_norm.weight");
  self->classifier =
      gem_parameters_add(set, "router", shape->n_domains, width, deviation, "classifier.weight");
  self->rope_table = gem_rope_table_new(positions, width / shape->heads, shape->rope_base);
  return self;
}

void
gem_router_network_free(GemRouterNetwork *self)
{
  gem_parameters_free(self->parameters);
  g_strfreev(self->domains);
  g_free(self->layers);
  g_free(self->rope_table);
  g_free(self);
}

GemRouterPass *
gem_router_pass_new(const GemRouterNetwork *network)
{
  GemRouterPass *pass = g_new0(GemRouterPass, 1);
  pass->n_layers = network->shape.layers;
  pass->layers = g_new0(LayerRecord, pass->n_layers);
  return pass;
}

static void
resize(float **array, gsize floats)
{
  g_clear_pointer((gpointer *)array, g_aligned_free);
  if (floats > 0) {
    *array = g_aligned_alloc(floats, sizeof(float), 64);
  }
}

/* Makes every array for n tokens; n == 0 frees them. */
static void
pass_resize(GemRouterPass *pass, const GemRouterShape *shape, gsize n)
{
  gsize width = shape ? shape->width : 0, ffn = shape ? shape->ffn : 0,
        classes = shape ? shape->n_domains : 0;
  for (guint l = 0; l < pass->n_layers; l++) {
    LayerRecord *record = &pass->layers[l];
    resize(&record->input, n * width);
    resize(&record->attention_inverse, n);
    resize(&record->attention_input, n * width);
    resize(&record->qkv, n * 3 * width);
    resize(&record->attention, n * width);
    resize(&record->middle, n * width);
    resize(&record->ffn_inverse, n);
    resize(&record->ffn_input, n * width);
    resize(&record->up, n * ffn);
    resize(&record->hidden, n * ffn);
  }
  resize(&pass->embedded, n * (shape ? shape->embedding : 0));
  resize(&pass->stream, n * width);
  resize(&pass->final_inverse, n);
  resize(&pass->final, n * width);
  resize(&pass->logits, n * classes);
  resize(&pass->d_logits, n * classes);
  resize(&pass->d_stream, n * width);
  resize(&pass->d_norm, n * MAX(width, shape ? shape->embedding : 0));
  resize(&pass->d_qkv, n * 3 * width);
  resize(&pass->d_attention, n * width);
  resize(&pass->d_hidden, n * ffn);
  pass->capacity = n;
}

void
gem_router_pass_free(GemRouterPass *pass)
{
  pass_resize(pass, NULL, 0);
  for (guint l = 0; l < pass->n_layers; l++) {
    resize(&pass->layers[l].probabilities, 0);
  }
  resize(&pass->square, 0);
  g_free(pass->visible);
  g_free(pass->layers);
  g_free(pass);
}

static void
pass_reserve(const GemRouterNetwork *self, const GemBatch *batch, GemRouterPass *pass)
{
  if (batch->n > pass->capacity) {
    pass_resize(pass, &self->shape, batch->n);
  }
  gsize squares = gem_attention_block_probabilities(batch, self->shape.heads);
  if (squares > pass->squares) {
    for (guint l = 0; l < pass->n_layers; l++) {
      resize(&pass->layers[l].probabilities, squares);
    }
    pass->squares = squares;
  }
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize longest = 1;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    longest = MAX(longest, start[s + 1] - start[s]);
  }
  g_assert(longest <= self->positions);
  if (longest > pass->longest) {
    resize(&pass->square, longest * longest);
    pass->visible = g_realloc(pass->visible, longest);
    pass->longest = longest;
  }
}

static GemAttentionView
attention_view(const GemRouterNetwork *self)
{
  gsize heads = self->shape.heads;
  return (GemAttentionView){heads, heads, self->shape.width / heads, NULL, TRUE, self->shape.window, FALSE};
}

static void
embed(
    const GemRouterNetwork *self, const float *values, const GemBatch *batch, GemRouterPass *pass, float *out)
{
  gsize size = self->shape.embedding;
  float *rows = self->projection == G_MAXSIZE ? out : pass->embedded;
  for (gsize i = 0; i < batch->n; i++) {
    memcpy(rows + i * size, values + self->embedding + batch->token[i] * size, size * sizeof(float));
  }
  if (self->projection != G_MAXSIZE) {
    gem_matmul(FALSE, TRUE, batch->n, self->shape.width, size, rows, size, values + self->projection, size,
               FALSE, out, self->shape.width);
  }
}

static void
layer_forward(const GemRouterNetwork *self,
              const float *values,
              guint l,
              const GemBatch *batch,
              GemRouterPass *pass,
              float *out)
{
  const GemRouterLayer *layer = &self->layers[l];
  LayerRecord *record = &pass->layers[l];
  gsize n = batch->n, width = self->shape.width, ffn = self->shape.ffn, heads = self->shape.heads;
  gem_rms_norm_forward(record->input, values + layer->attention_norm, n, width, self->shape.rms_epsilon,
                       record->attention_inverse, record->attention_input);
  gem_matmul(FALSE, TRUE, n, 3 * width, width, record->attention_input, width, values + layer->query, width,
             FALSE, record->qkv, 3 * width);
  gem_rope_apply(record->qkv, 3 * width, batch->position, n, 2 * heads, width / heads, width / heads,
                 self->rope_table, 1);
  GemAttentionView view = attention_view(self);
  gem_attention_block_forward(&view, batch, record->qkv, record->probabilities, pass->visible,
                              record->attention);
  memcpy(record->middle, record->input, n * width * sizeof(float));
  gem_matmul(FALSE, TRUE, n, width, width, record->attention, width, values + layer->attention_output, width,
             TRUE, record->middle, width);

  gem_rms_norm_forward(record->middle, values + layer->ffn_norm, n, width, self->shape.rms_epsilon,
                       record->ffn_inverse, record->ffn_input);
  gem_matmul(FALSE, TRUE, n, ffn, width, record->ffn_input, width, values + layer->up, width, FALSE,
             record->up, ffn);
  gem_gelu_forward(record->up, n * ffn, record->hidden);
  memcpy(out, record->middle, n * width * sizeof(float));
  gem_matmul(FALSE, TRUE, n, width, ffn, record->hidden, ffn, values + layer->down, ffn, TRUE, out, width);
}

/* Probabilities in place of logits; their gradient, weighted and scaled, in d_logits. */
static double
classify_and_loss(const GemBatch *batch, gsize classes, float scale, float *logits, float *d_logits)
{
  double loss = 0.0;
  for (gsize i = 0; i < batch->n; i++, logits += classes, d_logits += classes) {
    float top = logits[0];
    double sum = 0.0, nats = 0.0;
    for (gsize j = 1; j < classes; j++) {
      top = MAX(top, logits[j]);
    }
    for (gsize j = 0; j < classes; j++) {
      sum += exp((double)(logits[j] - top));
    }
    for (gsize j = 0; j < classes; j++) {
      gint32 target = batch->target[i];
      double log_p = (double)(logits[j] - top) - log(sum);
      double wanted =
          target == GEM_ROUTER_UNIFORM ? 1.0 / (double)classes : (target == (gint32)j ? 1.0 : 0.0);
      nats -= wanted * log_p;
      logits[j] = (float)exp(log_p);
      d_logits[j] = target < 0 ? 0.0f : (logits[j] - (float)wanted) * batch->weight[i] * scale;
    }
    loss += batch->target[i] < 0 ? 0.0 : nats * (double)batch->weight[i];
  }
  return loss;
}

static void
layer_backward(const GemRouterNetwork *self,
               const float *values,
               guint l,
               const GemBatch *batch,
               GemRouterPass *pass,
               float *gradients)
{
  const GemRouterLayer *layer = &self->layers[l];
  const LayerRecord *record = &pass->layers[l];
  gsize n = batch->n, width = self->shape.width, ffn = self->shape.ffn, heads = self->shape.heads;
  float *d_stream = pass->d_stream;
  gem_matmul(TRUE, FALSE, width, ffn, n, d_stream, width, record->hidden, ffn, TRUE, gradients + layer->down,
             ffn);
  gem_matmul(FALSE, FALSE, n, ffn, width, d_stream, width, values + layer->down, ffn, FALSE, pass->d_hidden,
             ffn);
  gem_gelu_backward(record->up, pass->d_hidden, n * ffn, pass->d_hidden);
  gem_matmul(TRUE, FALSE, ffn, width, n, pass->d_hidden, ffn, record->ffn_input, width, TRUE,
             gradients + layer->up, width);
  gem_matmul(FALSE, FALSE, n, width, ffn, pass->d_hidden, ffn, values + layer->up, width, FALSE, pass->d_norm,
             width);
  gem_rms_norm_backward(record->middle, values + layer->ffn_norm, record->ffn_inverse, pass->d_norm, n, width,
                        d_stream, gradients + layer->ffn_norm);

  gem_matmul(TRUE, FALSE, width, width, n, d_stream, width, record->attention, width, TRUE,
             gradients + layer->attention_output, width);
  gem_matmul(FALSE, FALSE, n, width, width, d_stream, width, values + layer->attention_output, width, FALSE,
             pass->d_attention, width);
  GemAttentionView view = attention_view(self);
  gem_attention_block_backward(&view, batch, record->qkv, record->probabilities, pass->d_attention,
                               pass->square, pass->d_qkv);
  gem_rope_apply(pass->d_qkv, 3 * width, batch->position, n, 2 * heads, width / heads, width / heads,
                 self->rope_table, -1);
  gem_matmul(TRUE, FALSE, 3 * width, width, n, pass->d_qkv, 3 * width, record->attention_input, width, TRUE,
             gradients + layer->query, width);
  gem_matmul(FALSE, FALSE, n, width, 3 * width, pass->d_qkv, 3 * width, values + layer->query, width, FALSE,
             pass->d_norm, width);
  gem_rms_norm_backward(record->input, values + layer->attention_norm, record->attention_inverse,
                        pass->d_norm, n, width, d_stream, gradients + layer->attention_norm);
}

static void
embed_backward(const GemRouterNetwork *self,
               const float *values,
               const GemBatch *batch,
               GemRouterPass *pass,
               float *gradients)
{
  gsize size = self->shape.embedding, width = self->shape.width;
  const float *rows = pass->d_stream;
  if (self->projection != G_MAXSIZE) {
    gem_matmul(TRUE, FALSE, width, size, batch->n, pass->d_stream, width, pass->embedded, size, TRUE,
               gradients + self->projection, size);
    gem_matmul(FALSE, FALSE, batch->n, size, width, pass->d_stream, width, values + self->projection, size,
               FALSE, pass->d_norm, size);
    rows = pass->d_norm;
  }
  for (gsize i = 0; i < batch->n; i++) {
    gem_vector_add(gradients + self->embedding + batch->token[i] * size, rows + i * size, size);
  }
}

double
gem_router_network_run(const GemRouterNetwork *self,
                       const float *values,
                       const GemBatch *batch,
                       float scale,
                       GemRouterPass *pass,
                       float *gradients)
{
  gsize n = batch->n, width = self->shape.width, classes = self->shape.n_domains;
  pass_reserve(self, batch, pass);
  embed(self, values, batch, pass, self->shape.layers > 0 ? pass->layers[0].input : pass->stream);
  for (guint l = 0; l < self->shape.layers; l++) {
    layer_forward(self, values, l, batch, pass,
                  l + 1 < self->shape.layers ? pass->layers[l + 1].input : pass->stream);
  }
  gem_rms_norm_forward(pass->stream, values + self->output_norm, n, width, self->shape.rms_epsilon,
                       pass->final_inverse, pass->final);
  gem_matmul(FALSE, TRUE, n, classes, width, pass->final, width, values + self->classifier, width, FALSE,
             pass->logits, classes);
  double loss = classify_and_loss(batch, classes, scale, pass->logits, pass->d_logits);
  if (gradients == NULL) {
    return loss;
  }
  gem_matmul(TRUE, FALSE, classes, width, n, pass->d_logits, classes, pass->final, width, TRUE,
             gradients + self->classifier, width);
  gem_matmul(FALSE, FALSE, n, width, classes, pass->d_logits, classes, values + self->classifier, width,
             FALSE, pass->d_norm, width);
  memset(pass->d_stream, 0, n * width * sizeof(float));
  gem_rms_norm_backward(pass->stream, values + self->output_norm, pass->final_inverse, pass->d_norm, n, width,
                        pass->d_stream, gradients + self->output_norm);
  for (guint l = self->shape.layers; l-- > 0;) {
    layer_backward(self, values, l, batch, pass, gradients);
  }
  embed_backward(self, values, batch, pass, gradients);
  return loss;
}

const float *
gem_router_pass_probabilities(const GemRouterPass *pass)
{
  return pass->logits;
}

const float *
gem_router_pass_features(const GemRouterPass *pass)
{
  return pass->final;
}

void
gem_router_pass_routes(const GemRouterNetwork *self,
                       const GemRouterPass *pass,
                       float threshold,
                       GemBatch *batch)
{
  gsize classes = self->shape.n_domains;
  for (gsize i = 0; i < batch->n; i++) {
    const float *p = pass->logits + i * classes;
    gsize best = 0;
    for (gsize j = 1; j < classes; j++) {
      best = p[j] > p[best] ? j : best;
    }
    batch->route[i] = p[best] > threshold ? (gint8)best : GEM_ROUTE_GENERAL;
  }
}
