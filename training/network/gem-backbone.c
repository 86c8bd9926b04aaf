#include "training/network/gem-backbone-internal.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-attention-block.h"
#include "training/network/gem-backbone-losses.h"

gsize
gem_backbone_qkv_width(const GemModelShape *shape)
{
  return ((gsize)shape->heads + 2 * (gsize)shape->kv_heads) * shape->head_dim;
}

/* The three matrices of a SwiGLU, gate and up one after the other; `down` starts at `down_deviation`. */
static void
add_feed_forward(GemParameters *set,
                 const char *part,
                 guint layer,
                 gsize width,
                 gsize ffn,
                 float deviation,
                 float down_deviation,
                 gsize *ret_gate,
                 gsize *ret_down)
{
  *ret_gate = gem_parameters_add(set, part, ffn, width, deviation, "blk.%u.ffn_gate.weight", layer);
  gem_parameters_add(set, part, ffn, width, deviation, "blk.%u.ffn_up.weight", layer);
  *ret_down = gem_parameters_add(set, part, width, ffn, down_deviation, "blk.%u.ffn_down.weight", layer);
}

static void
add_layer(GemBackbone *self, guint l)
{
  const GemModelShape *shape = &self->shape;
  GemBackboneLayer *layer = &self->layers[l];
  GemParameters *set = self->parameters;
  gsize width = shape->width, all_heads = (gsize)shape->heads * shape->head_dim,
        all_kv = (gsize)shape->kv_heads * shape->head_dim;
  float deviation = 0.02f, into_stream = 0.02f / sqrtf(2.0f * (float)shape->layers);
  layer->attention_norm = gem_parameters_add(set, "general", 1, width, -1.0f, "blk.%u.attn_norm.weight", l);
  layer->query = gem_parameters_add(set, "general", all_heads, width, deviation, "blk.%u.attn_q.weight", l);
  gem_parameters_add(set, "general", all_kv, width, deviation, "blk.%u.attn_k.weight", l);
  gem_parameters_add(set, "general", all_kv, width, deviation, "blk.%u.attn_v.weight", l);
  layer->attention_output =
      gem_parameters_add(set, "general", width, all_heads, into_stream, "blk.%u.attn_output.weight", l);
  layer->ffn_norm = gem_parameters_add(set, "general", 1, width, -1.0f, "blk.%u.ffn_norm.weight", l);
  add_feed_forward(set, "general", l, width, shape->ffn, deviation, into_stream, &layer->gate, &layer->down);
  for (guint d = 0; d < shape->n_domains; d++) {
    g_autofree char *part = g_strdup_printf("pathway-%s", shape->domains[d]);
    /* a residual starts silent: its down projection is zero */
    add_feed_forward(set, part, l, width, shape->domain_ffn, deviation, 0.0f, &layer->domain_gate[d],
                     &layer->domain_down[d]);
  }
}

GemBackbone *
gem_backbone_new(GemModelShape *shape, gsize positions)
{
  GemBackbone *self = g_new0(GemBackbone, 1);
  self->shape = *shape;
  memset(shape, 0, sizeof *shape);
  self->positions = positions;
  self->parameters = gem_parameters_new();
  self->layers = g_new0(GemBackboneLayer, self->shape.layers);
  self->embedding = gem_parameters_add(self->parameters, "general", self->shape.vocab, self->shape.width,
                                       0.02f, "token_embd.weight");
  for (guint l = 0; l < self->shape.layers; l++) {
    add_layer(self, l);
  }
  self->output_norm =
      gem_parameters_add(self->parameters, "general", 1, self->shape.width, -1.0f, "output_norm.weight");
  self->output = self->embedding;
  if (!self->shape.tied) {
    self->output = gem_parameters_add(self->parameters, "general", self->shape.vocab, self->shape.width,
                                      0.02f, "output.weight");
  }
  self->rope_table = gem_rope_table_new(positions, self->shape.rope_dim, self->shape.rope_base);
  self->everything = (GemGradientMap){self->embedding, self->output_norm, self->output, self->layers};
  return self;
}

void
gem_backbone_free(GemBackbone *self)
{
  gem_parameters_free(self->parameters);
  gem_model_shape_clear(&self->shape);
  g_free(self->layers);
  g_free(self->rope_table);
  g_free(self);
}

gsize
gem_backbone_centroids_at(const GemBackbone *self, guint layer, guint set)
{
  gsize each_layer = 0, before = 0;
  for (guint s = 0; s < self->shape.n_cluster_sets; s++) {
    before += s < set ? self->shape.clusters[s] : 0;
    each_layer += self->shape.clusters[s];
  }
  return layer * each_layer + before;
}

gsize
gem_backbone_n_centroids(const GemBackbone *self)
{
  return gem_backbone_centroids_at(self, self->shape.layers, 0);
}

static GemBackbonePass *
pass_new(const GemBackbone *backbone, guint n_records)
{
  GemBackbonePass *pass = g_new0(GemBackbonePass, 1);
  pass->n_records = n_records;
  pass->layers = g_new0(GemLayerRecord, n_records);
  pass->logits = g_new(float, (gsize)GEM_LOGIT_ROWS * backbone->shape.vocab);
  return pass;
}

GemBackbonePass *
gem_backbone_pass_new(const GemBackbone *backbone)
{
  return pass_new(backbone, backbone->shape.layers);
}

GemBackbonePass *
gem_backbone_pass_new_forward(const GemBackbone *backbone)
{
  return pass_new(backbone, 1);
}

void
gem_backbone_pass_set_dropout(GemBackbonePass *pass, double share, guint64 seed)
{
  pass->dropout = (GemDropout){share, seed};
}

void
gem_backbone_drop(const GemBackbonePass *pass, guint layer, GemDropped array, float *x, gsize n)
{
  gem_dropout_apply(&pass->dropout, layer * GEM_N_DROPPED + array, x, n);
}

/* Every array of a pass that grows with the batch, so that making and freeing them walk the same list. */
typedef void (*EachArray)(gpointer *array, gsize bytes);

static void
pass_each_array(GemBackbonePass *pass, const GemModelShape *shape, gsize n, EachArray each)
{
  gsize width = shape ? shape->width : 0, qkv = shape ? gem_backbone_qkv_width(shape) : 0,
        ffn = shape ? shape->ffn : 0;
  gsize domain_ffn = shape ? shape->domain_ffn : 0, heads = shape ? (gsize)shape->heads * shape->head_dim : 0;
  const gsize size = sizeof(float);
  for (guint l = 0; l < pass->n_records; l++) {
    GemLayerRecord *record = &pass->layers[l];
    each((gpointer *)&record->input, n * width * size);
    each((gpointer *)&record->attention_inverse, n * size);
    each((gpointer *)&record->attention_input, n * width * size);
    each((gpointer *)&record->qkv, n * qkv * size);
    each((gpointer *)&record->clusters, n);
    each((gpointer *)&record->attention, n * heads * size);
    each((gpointer *)&record->middle, n * width * size);
    each((gpointer *)&record->ffn_inverse, n * size);
    each((gpointer *)&record->ffn_input, n * width * size);
    each((gpointer *)&record->gate_up, n * 2 * ffn * size);
    each((gpointer *)&record->hidden, n * ffn * size);
    each((gpointer *)&record->domain_input, n * width * size);
    each((gpointer *)&record->domain_gate_up, n * 2 * domain_ffn * size);
    each((gpointer *)&record->domain_hidden, n * domain_ffn * size);
  }
  each((gpointer *)&pass->stream, n * width * size);
  each((gpointer *)&pass->final_inverse, n * size);
  each((gpointer *)&pass->final, n * width * size);
  each((gpointer *)&pass->order, n * sizeof(guint32));
  each((gpointer *)&pass->d_stream, n * width * size);
  each((gpointer *)&pass->d_norm, n * width * size);
  each((gpointer *)&pass->d_qkv, n * qkv * size);
  each((gpointer *)&pass->d_attention, n * heads * size);
  each((gpointer *)&pass->d_gate_up, n * 2 * MAX(ffn, domain_ffn) * size);
  each((gpointer *)&pass->d_hidden, n * MAX(ffn, domain_ffn) * size);
  each((gpointer *)&pass->d_domain, n * width * size);
  each((gpointer *)&pass->domain_out, n * width * size);
}

static void
free_array(gpointer *array, gsize bytes)
{
  g_clear_pointer(array, g_aligned_free);
}

static void
make_array(gpointer *array, gsize bytes)
{
  free_array(array, 0);
  *array = g_aligned_alloc(MAX(bytes, 64), 1, 64);
}

void
gem_backbone_pass_free(GemBackbonePass *pass)
{
  pass_each_array(pass, NULL, 0, free_array);
  for (guint l = 0; l < pass->n_records; l++) {
    g_free(pass->layers[l].probabilities);
  }
  g_free(pass->layers);
  g_free(pass->logits);
  g_free(pass->teacher);
  g_free(pass->visible);
  g_free(pass->square);
  g_free(pass);
}

static void
pass_reserve(const GemBackbone *self, const GemBatch *batch, GemBackbonePass *pass)
{
  if (batch->n > pass->capacity) {
    pass_each_array(pass, &self->shape, batch->n, make_array);
    pass->capacity = batch->n;
  }
  gsize squares = gem_attention_block_probabilities(batch, self->shape.heads);
  for (guint l = 0; l < pass->n_records; l++) {
    if (squares > pass->layers[l].probabilities_size) {
      g_free(pass->layers[l].probabilities);
      pass->layers[l].probabilities = g_new(float, squares);
      pass->layers[l].probabilities_size = squares;
    }
  }
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize longest = 0;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    longest = MAX(longest, start[s + 1] - start[s]);
  }
  g_assert(longest <= self->positions);
  if (longest > pass->longest) {
    pass->visible = g_realloc(pass->visible, longest);
    g_free(pass->square);
    pass->square = g_new(float, longest *longest);
    pass->longest = longest;
  }
}

/* Sorts the routed tokens by domain, in the order of the batch within each. */
static void
gather_routes(const GemBackbone *self, const GemBatch *batch, GemBackbonePass *pass)
{
  gsize filled = 0;
  for (guint d = 0; d < self->shape.n_domains; d++) {
    pass->domain_start[d] = filled;
    for (gsize i = 0; i < batch->n; i++) {
      if (batch->route[i] == (gint8)d) {
        pass->order[filled++] = (guint32)i;
      }
    }
  }
  pass->domain_start[self->shape.n_domains] = filled;
}

static void
assign_clusters(const GemBackbone *self,
                const float *centroids,
                guint layer,
                guint set,
                const float *u,
                gsize n,
                guint8 *clusters)
{
  gsize width = self->shape.width, k = self->shape.clusters[set];
  const float *means = centroids + gem_backbone_centroids_at(self, layer, set) * width;
  for (gsize i = 0; i < n; i++) {
    clusters[i] = (guint8)gem_vector_nearest(u + i * width, means, k, width);
  }
}

static void
attention_forward(const GemBackbone *self,
                  const float *values,
                  const float *centroids,
                  guint l,
                  int cluster_set,
                  const GemBatch *batch,
                  GemBackbonePass *pass)
{
  const GemModelShape *shape = &self->shape;
  const GemBackboneLayer *layer = &self->layers[l];
  GemLayerRecord *record = gem_backbone_record(pass, l);
  gsize n = batch->n, width = shape->width, qkv = gem_backbone_qkv_width(shape),
        heads = (gsize)shape->heads * shape->head_dim;
  gem_rms_norm_forward(record->input, values + layer->attention_norm, n, width, shape->rms_epsilon,
                       record->attention_inverse, record->attention_input);
  gem_matmul(FALSE, TRUE, n, qkv, width, record->attention_input, width, values + layer->query, width, FALSE,
             record->qkv, qkv);
  gem_rope_apply(record->qkv, qkv, batch->position, n, shape->heads + shape->kv_heads, shape->head_dim,
                 shape->rope_dim, self->rope_table, 1);
  if (cluster_set >= 0) {
    assign_clusters(self, centroids, l, (guint)cluster_set, record->attention_input, n, record->clusters);
  }
  GemAttentionView view = {
      shape->heads, shape->kv_heads, shape->head_dim,  cluster_set >= 0 ? record->clusters : NULL,
      FALSE,        shape->window,   shape->successors};
  gem_attention_block_forward(&view, batch, record->qkv, record->probabilities, pass->visible,
                              record->attention);
  gem_backbone_drop(pass, l, GEM_DROPPED_ATTENTION, record->attention, n * heads);
  memcpy(record->middle, record->input, n * width * sizeof(float));
  gem_matmul(FALSE, TRUE, n, width, heads, record->attention, heads, values + layer->attention_output, heads,
             TRUE, record->middle, width);
}

void
gem_backbone_mute_routed(const GemBackbone *self, const GemBackbonePass *pass, float *rows, gsize d)
{
  for (gsize i = 0; self->exclusive && i < pass->domain_start[self->shape.n_domains]; i++) {
    memset(rows + pass->order[i] * d, 0, d * sizeof(float));
  }
}

/* The residuals of the routed tokens, added to `out` [n][D]. */
static void
domains_forward(const GemBackbone *self,
                const float *values,
                const GemBackboneLayer *layer,
                const GemBackbonePass *pass,
                GemLayerRecord *record,
                float *out)
{
  gsize width = self->shape.width, ffn = self->shape.domain_ffn;
  for (guint d = 0; d < self->shape.n_domains; d++) {
    gsize first = pass->domain_start[d], count = pass->domain_start[d + 1] - first;
    if (count == 0) {
      continue;
    }
    float *input = record->domain_input + first * width, *gate_up = record->domain_gate_up + first * 2 * ffn;
    float *hidden = record->domain_hidden + first * ffn, *result = pass->domain_out + first * width;
    for (gsize i = 0; i < count; i++) {
      memcpy(input + i * width, record->ffn_input + pass->order[first + i] * width, width * sizeof(float));
    }
    gem_matmul(FALSE, TRUE, count, 2 * ffn, width, input, width, values + layer->domain_gate[d], width, FALSE,
               gate_up, 2 * ffn);
    gem_swiglu_forward(gate_up, count, ffn, hidden);
    gem_matmul(FALSE, TRUE, count, width, ffn, hidden, ffn, values + layer->domain_down[d], ffn, FALSE,
               result, width);
    for (gsize i = 0; i < count; i++) {
      gem_vector_add(out + pass->order[first + i] * width, result + i * width, width);
    }
  }
}

static void
feed_forward(
    const GemBackbone *self, const float *values, guint l, gsize n, GemBackbonePass *pass, float *out)
{
  const GemModelShape *shape = &self->shape;
  const GemBackboneLayer *layer = &self->layers[l];
  GemLayerRecord *record = gem_backbone_record(pass, l);
  gsize width = shape->width, ffn = shape->ffn;
  gem_rms_norm_forward(record->middle, values + layer->ffn_norm, n, width, shape->rms_epsilon,
                       record->ffn_inverse, record->ffn_input);
  gem_backbone_drop(pass, l, GEM_DROPPED_FFN_INPUT, record->ffn_input, n * width);
  gem_matmul(FALSE, TRUE, n, 2 * ffn, width, record->ffn_input, width, values + layer->gate, width, FALSE,
             record->gate_up, 2 * ffn);
  gem_swiglu_forward(record->gate_up, n, ffn, record->hidden);
  gem_backbone_mute_routed(self, pass, record->hidden, ffn);
  memcpy(out, record->middle, n * width * sizeof(float));
  gem_matmul(FALSE, TRUE, n, width, ffn, record->hidden, ffn, values + layer->down, ffn, TRUE, out, width);
  domains_forward(self, values, layer, pass, record, out);
}

static void
embed(const GemBackbone *self, const float *values, const GemBatch *batch, float *out)
{
  gsize width = self->shape.width;
  for (gsize i = 0; i < batch->n; i++) {
    memcpy(out + i * width, values + self->embedding + batch->token[i] * width, width * sizeof(float));
  }
}

void
gem_backbone_forward(const GemBackbone *self,
                     const float *values,
                     const float *centroids,
                     int cluster_set,
                     const GemBatch *batch,
                     GemBackbonePass *pass)
{
  guint layers = self->shape.layers;
  pass_reserve(self, batch, pass);
  gather_routes(self, batch, pass);
  float *stream = gem_backbone_record(pass, 0)->input;
  embed(self, values, batch, stream);
  gem_backbone_drop(pass, 0, GEM_DROPPED_EMBEDDING, stream, batch->n * self->shape.width);
  for (guint l = 0; l < layers; l++) {
    attention_forward(self, values, centroids, l, cluster_set, batch, pass);
    feed_forward(self, values, l, batch->n, pass,
                 l + 1 < layers ? gem_backbone_record(pass, l + 1)->input : pass->stream);
  }
  gem_rms_norm_forward(pass->stream, values + self->output_norm, batch->n, self->shape.width,
                       self->shape.rms_epsilon, pass->final_inverse, pass->final);
}

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
                 GemLoss *ret_loss)
{
  const GemGradientMap *map = gradients != NULL ? &self->everything : NULL;
  gem_backbone_forward(self, values, centroids, cluster_set, batch, pass);
  gem_backbone_loss_task(self, values, batch, scale, pass, map, gradients, token_loss, ret_loss);
  if (gradients != NULL) {
    gem_backbone_backward(self, values, batch, cluster_set, pass, map, gradients);
  }
}

const float *
gem_backbone_pass_final(const GemBackbonePass *pass)
{
  return pass->final;
}

const float *
gem_backbone_pass_attention_input(const GemBackbonePass *pass, guint layer)
{
  return gem_backbone_record(pass, layer)->attention_input;
}

void
gem_backbone_collect_clusters(const GemBackbone *self,
                              const float *centroids,
                              const GemBatch *batch,
                              const GemBackbonePass *pass,
                              float *sums,
                              double *counts)
{
  gsize width = self->shape.width;
  g_autofree guint8 *clusters = g_malloc(batch->n);
  for (guint l = 0; l < self->shape.layers; l++) {
    const float *u = pass->layers[l].attention_input;
    for (guint set = 0; set < self->shape.n_cluster_sets; set++) {
      gsize row = gem_backbone_centroids_at(self, l, set);
      assign_clusters(self, centroids, l, set, u, batch->n, clusters);
      for (gsize i = 0; i < batch->n; i++) {
        float *sum = sums + (row + clusters[i]) * width;
        float inverse = (float)(1.0 / sqrt(gem_vector_square_sum(u + i * width, width) + 1e-12));
        gem_vector_add_scaled(sum, u + i * width, inverse, width);
        counts[row + clusters[i]] += 1.0;
      }
    }
  }
}

void
gem_backbone_last_logits(
    const GemBackbone *self, const float *values, const GemBatch *batch, GemBackbonePass *pass, float *logits)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize width = self->shape.width, vocab = self->shape.vocab;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gem_matmul(FALSE, TRUE, 1, vocab, width, pass->final + (start[s + 1] - 1) * width, width,
               values + self->output, width, FALSE, logits + s * vocab, vocab);
  }
}
