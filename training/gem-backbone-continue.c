#include "training/gem-backbone-continue.h"

#include <math.h>
#include <string.h>

#include "training/gem-backbone-internal.h"
#include "training/gem-matmul.h"
#include "training/gem-vector.h"

/* All rows of all continuations; one layer at a time. */
typedef struct {
  const GemBackbone *backbone;
  const float *values, *centroids;
  int cluster_set;
  const GemBackbonePass *pass;
  const GemContinuations *continuations;
  gsize prompt, rows;
  guint32 *position;          /* [rows] */
  guint8 *clusters, *visible; /* [rows]; [prompt + longest] */
  float *stream, *normed, *qkv, *attention, *gate_up, *hidden, *inverse, *scores;
} Going;

static void
going_init(Going *self)
{
  const GemModelShape *shape = &self->backbone->shape;
  const GemContinuations *all = self->continuations;
  gsize rows = self->rows, ffn = MAX(shape->ffn, shape->domain_ffn), longest = 0;
  self->position = g_new(guint32, rows);
  for (gsize c = 0; c < all->n; c++) {
    longest = MAX(longest, all->start[c + 1] - all->start[c]);
    for (guint32 r = all->start[c]; r < all->start[c + 1]; r++) {
      self->position[r] = (guint32)self->prompt + r - all->start[c];
    }
  }
  g_assert(self->prompt + longest <= self->backbone->positions);
  self->clusters = g_new0(guint8, rows);
  self->visible = g_new(guint8, self->prompt + longest);
  self->scores = g_new(float, self->prompt + longest);
  self->stream = g_new(float, rows * shape->width);
  self->normed = g_new(float, rows * shape->width);
  self->qkv = g_new(float, rows *gem_backbone_qkv_width(shape));
  self->attention = g_new(float, rows * shape->heads * shape->head_dim);
  self->gate_up = g_new(float, rows * 2 * ffn);
  self->hidden = g_new(float, rows *ffn);
  self->inverse = g_new(float, rows);
}

static void
going_clear(Going *self)
{
  g_free(self->position);
  g_free(self->clusters);
  g_free(self->visible);
  g_free(self->scores);
  g_free(self->stream);
  g_free(self->normed);
  g_free(self->qkv);
  g_free(self->attention);
  g_free(self->gate_up);
  g_free(self->hidden);
  g_free(self->inverse);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Going, going_clear)

/* What a row at `position` of cluster `own` sees: the prompt, then its own continuation up to itself. */
static gsize
fill_visible(const Going *self, const GemLayerRecord *record, guint32 first, guint32 row)
{
  gsize window = self->backbone->shape.window, position = self->position[row], end = position + 1;
  if (self->cluster_set < 0) {
    memset(self->visible, 1, end);
    return end;
  }
  for (gsize j = 0; j < end; j++) {
    guint8 cluster = j < self->prompt ? record->clusters[j] : self->clusters[first + j - self->prompt];
    self->visible[j] = cluster == self->clusters[row] || position - j < window || j == 0;
  }
  return end;
}

/* One head of one row, over the prompt's keys and values and its own continuation's. */
static void
attend_head(
    const Going *self, const GemLayerRecord *record, guint32 first, guint32 row, gsize head, gsize end)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize stride = gem_backbone_qkv_width(shape), dim = shape->head_dim,
        kv = head * shape->kv_heads / shape->heads;
  gsize key = (shape->heads + kv) * dim, value = (shape->heads + shape->kv_heads + kv) * dim;
  const float *q = self->qkv + row * stride + head * dim, *own = self->qkv + first * stride;
  float *out = self->attention + row * shape->heads * dim + head * dim;
  for (gsize j = 0; j < end; j++) {
    const float *k = (j < self->prompt ? record->qkv + j * stride : own + (j - self->prompt) * stride) + key;
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (gsize i = 0; i < dim; i++) {
      dot += q[i] * k[i];
    }
    self->scores[j] = dot;
  }
  gem_masked_softmax_row(self->scores, self->visible, end, end, 1.0f / sqrtf((float)dim));
  memset(out, 0, dim * sizeof(float));
  for (gsize j = 0; j < end; j++) {
    const float *v =
        (j < self->prompt ? record->qkv + j * stride : own + (j - self->prompt) * stride) + value;
    gem_vector_add_scaled(out, v, self->scores[j], dim);
  }
}

static void
attend(Going *self, guint l)
{
  const GemModelShape *shape = &self->backbone->shape;
  const GemBackboneLayer *layer = &self->backbone->layers[l];
  const GemLayerRecord *record = gem_backbone_record(self->pass, l);
  const GemContinuations *all = self->continuations;
  gsize width = shape->width, qkv = gem_backbone_qkv_width(shape),
        heads = (gsize)shape->heads * shape->head_dim;
  gem_rms_norm_forward(self->stream, self->values + layer->attention_norm, self->rows, width,
                       shape->rms_epsilon, self->inverse, self->normed);
  gem_matmul(FALSE, TRUE, self->rows, qkv, width, self->normed, width, self->values + layer->query, width,
             FALSE, self->qkv, qkv);
  gem_rope_apply(self->qkv, qkv, self->position, self->rows, shape->heads + shape->kv_heads, shape->head_dim,
                 shape->rope_dim, self->backbone->rope_table, 1);
  if (self->cluster_set >= 0) {
    guint set = (guint)self->cluster_set;
    const float *means = self->centroids + gem_backbone_centroids_at(self->backbone, l, set) * width;
    for (gsize r = 0; r < self->rows; r++) {
      self->clusters[r] =
          (guint8)gem_vector_nearest(self->normed + r * width, means, shape->clusters[set], width);
    }
  }
  for (gsize c = 0; c < all->n; c++) {
    for (guint32 r = all->start[c]; r < all->start[c + 1]; r++) {
      gsize end = fill_visible(self, record, all->start[c], r);
      for (gsize h = 0; h < shape->heads; h++) {
        attend_head(self, record, all->start[c], r, h, end);
      }
    }
  }
  gem_matmul(FALSE, TRUE, self->rows, width, heads, self->attention, heads,
             self->values + layer->attention_output, heads, TRUE, self->stream, width);
}

/* A SwiGLU of all rows, added to the stream. */
static void
add_feed_forward(Going *self, gsize gate, gsize down, gsize ffn)
{
  gsize width = self->backbone->shape.width;
  gem_matmul(FALSE, TRUE, self->rows, 2 * ffn, width, self->normed, width, self->values + gate, width, FALSE,
             self->gate_up, 2 * ffn);
  gem_swiglu_forward(self->gate_up, self->rows, ffn, self->hidden);
  gem_matmul(FALSE, TRUE, self->rows, width, ffn, self->hidden, ffn, self->values + down, ffn, TRUE,
             self->stream, width);
}

void
gem_backbone_continue(const GemBackbone *self,
                      const float *values,
                      const float *centroids,
                      int cluster_set,
                      const GemBatch *prompt,
                      const GemBackbonePass *pass,
                      const GemContinuations *continuations,
                      float *final)
{
  const GemModelShape *shape = &self->shape;
  gsize width = shape->width;
  g_auto(Going) going = {.backbone = self,
                         .values = values,
                         .centroids = centroids,
                         .cluster_set = cluster_set,
                         .pass = pass,
                         .continuations = continuations,
                         .prompt = prompt->n,
                         .rows = continuations->start[continuations->n]};
  going_init(&going);
  for (gsize r = 0; r < going.rows; r++) {
    memcpy(going.stream + r * width, values + self->embedding + continuations->tokens[r] * width,
           width * sizeof(float));
  }
  for (guint l = 0; l < shape->layers; l++) {
    const GemBackboneLayer *layer = &self->layers[l];
    attend(&going, l);
    gem_rms_norm_forward(going.stream, values + layer->ffn_norm, going.rows, width, shape->rms_epsilon,
                         going.inverse, going.normed);
    add_feed_forward(&going, layer->gate, layer->down, shape->ffn);
    if (continuations->route >= 0) {
      add_feed_forward(&going, layer->domain_gate[continuations->route],
                       layer->domain_down[continuations->route], shape->domain_ffn);
    }
  }
  gem_rms_norm_forward(going.stream, values + self->output_norm, going.rows, width, shape->rms_epsilon,
                       going.inverse, final);
}

/* log p of `targets` after the states `final` [n][width]. */
static void
log_probabilities(const GemBackbone *self,
                  const float *values,
                  const float *final,
                  const guint32 *targets,
                  gsize n,
                  GemBackbonePass *pass,
                  double *logs)
{
  gsize width = self->shape.width, vocab = self->shape.vocab;
  for (gsize first = 0; first < n; first += GEM_LOGIT_ROWS) {
    gsize rows = MIN(n - first, GEM_LOGIT_ROWS);
    gem_matmul(FALSE, TRUE, rows, vocab, width, final + first * width, width, values + self->output, width,
               FALSE, pass->logits, vocab);
    for (gsize i = 0; i < rows; i++) {
      logs[first + i] = -gem_cross_entropy_row(pass->logits + i * vocab, vocab, targets[first + i], 0.0f);
    }
  }
}

void
gem_backbone_weigh(const GemBackbone *self,
                   const float *values,
                   const float *centroids,
                   int cluster_set,
                   const GemBatch *prompt,
                   GemBackbonePass *pass,
                   const GemContinuations *continuations,
                   double *logs)
{
  gsize width = self->shape.width, rows = continuations->start[continuations->n];
  g_autofree float *final = g_new(float, rows *width);
  g_autofree double *each = g_new(double, rows);
  gem_backbone_forward(self, values, centroids, cluster_set, prompt, pass);
  const float *last = gem_backbone_pass_final(pass) + (prompt->n - 1) * width;
  gem_backbone_continue(self, values, centroids, cluster_set, prompt, pass, continuations, final);
  /* a token is predicted by the state before it: the first of each by the prompt's last */
  for (gsize c = continuations->n; c-- > 0;) {
    guint32 start = continuations->start[c], n = continuations->start[c + 1] - start;
    memmove(final + (start + 1) * width, final + start * width, (n - 1) * width * sizeof(float));
    memcpy(final + start * width, last, width * sizeof(float));
  }
  log_probabilities(self, values, final, continuations->tokens, rows, pass, each);
  for (gsize c = 0; c < continuations->n; c++) {
    logs[c] = 0.0;
    for (guint32 r = continuations->start[c]; r < continuations->start[c + 1]; r++) {
      logs[c] += each[r];
    }
  }
}
