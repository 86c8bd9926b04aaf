#include "training/network/gem-backbone-continue.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-backbone-internal.h"

/* The rows after one prompt. */
typedef struct {
  gsize first, end;           /* rows */
  gsize prompt, prompt_first; /* the prompt's tokens, and where they begin in the batch */
} Text;

/* All rows of all continuations; one layer at a time. */
typedef struct {
  const GemBackbone *backbone;
  const float *values, *centroids;
  int cluster_set;
  const GemBackbonePass *pass;
  const GemContinuations *continuations;
  const gint8 *routes;
  gsize rows, n_texts, scores_size;
  Text *texts;
  guint32 *node, *position;   /* [rows] */
  guint32 *chain;             /* [longest] the rows before a row, from the prompt on, and itself */
  guint8 *clusters, *visible; /* [rows]; [longest] */
  float *stream, *normed, *qkv, *attention, *gate_up, *hidden, *inverse;
  float *scores; /* [heads][rows of a text][its prompt and deepest row] */
} Going;

static guint32
depth_of_row(const Going *self, gsize row)
{
  return gem_continuations_node(self->continuations, self->node[row])->depth;
}

static gsize
deepest_of_text(const Going *self, const Text *text)
{
  gsize deepest = 0;
  for (gsize r = text->first; r < text->end; r++) {
    deepest = MAX(deepest, depth_of_row(self, r));
  }
  return deepest;
}

/* Which rows are whose. */
static void
divide_rows(Going *self, const GemBatch *prompts)
{
  const guint32 *start = (const guint32 *)(gpointer)prompts->start->data;
  self->texts = g_new0(Text, self->n_texts);
  self->node = g_new(guint32, self->rows);
  self->position = g_new(guint32, self->rows);
  for (guint32 i = 0; i < self->continuations->nodes->len; i++) {
    const GemContinuationNode *node = gem_continuations_node(self->continuations, i);
    if (node->row != GEM_CONTINUATION_NONE) {
      Text *text = &self->texts[node->text];
      text->first = text->end == 0 ? node->row : text->first;
      text->end = node->row + 1;
      self->node[node->row] = i;
      self->position[node->row] = start[node->text + 1] - start[node->text] + node->depth;
    }
  }
  for (gsize t = 0; t < self->n_texts; t++) {
    self->texts[t].prompt_first = start[t];
    self->texts[t].prompt = start[t + 1] - start[t];
  }
}

static void
going_init(Going *self, const GemBatch *prompts)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize rows = self->rows, ffn = MAX(shape->ffn, shape->domain_ffn), longest = 0;
  divide_rows(self, prompts);
  for (gsize t = 0; t < self->n_texts; t++) {
    const Text *text = &self->texts[t];
    gsize length = text->prompt + deepest_of_text(self, text) + 1;
    longest = MAX(longest, length);
    self->scores_size = MAX(self->scores_size, shape->heads * (text->end - text->first) * length);
  }
  g_assert(longest <= self->backbone->positions);
  self->chain = g_new(guint32, longest);
  self->clusters = g_new0(guint8, rows);
  self->visible = g_new(guint8, longest);
  self->scores = g_new(float, self->scores_size);
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
  g_free(self->texts);
  g_free(self->node);
  g_free(self->position);
  g_free(self->chain);
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

/* The rows from the prompt to this one. */
static void
fill_chain(Going *self, gsize row)
{
  guint32 node = self->node[row];
  for (gsize i = depth_of_row(self, row) + 1; i-- > 0;) {
    const GemContinuationNode *at = gem_continuations_node(self->continuations, node);
    self->chain[i] = at->row;
    node = at->before;
  }
}

/* What a row sees: the prompt, then its own continuation up to itself. */
static void
fill_visible(const Going *self, const GemLayerRecord *record, const Text *text, gsize row)
{
  gsize window = self->backbone->shape.window, position = self->position[row];
  if (self->cluster_set < 0) {
    memset(self->visible, 1, position + 1);
    return;
  }
  for (gsize j = 0; j <= position; j++) {
    gsize of = self->backbone->shape.successors && j > 0 ? j - 1 : j;
    guint8 cluster = of < text->prompt ? record->clusters[text->prompt_first + of]
                                       : self->clusters[self->chain[of - text->prompt]];
    self->visible[j] = cluster == self->clusters[row] || position - j < window || j == 0;
  }
}

/* One head of one row: its scores of the prompt are there, those of its own continuation are added. */
static void
weigh_head(const Going *self, const Text *text, gsize row, gsize head, gsize length, float *scores)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize stride = gem_backbone_qkv_width(shape), dim = shape->head_dim, end = self->position[row] + 1;
  gsize key = (shape->heads + head * shape->kv_heads / shape->heads) * dim;
  const float *q = self->qkv + row * stride + head * dim;
  for (gsize j = text->prompt; j < end; j++) {
    const float *k = self->qkv + self->chain[j - text->prompt] * stride + key;
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (gsize i = 0; i < dim; i++) {
      dot += q[i] * k[i];
    }
    scores[j] = dot;
  }
  gem_masked_softmax_row(scores, self->visible, end, length, 1.0f / sqrtf((float)dim));
}

static void
add_own_values(const Going *self, const Text *text, gsize row, gsize head, const float *scores)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize stride = gem_backbone_qkv_width(shape), dim = shape->head_dim;
  gsize value = (shape->heads + shape->kv_heads + head * shape->kv_heads / shape->heads) * dim;
  float *out = self->attention + (row * shape->heads + head) * dim;
  for (gsize j = text->prompt; j <= self->position[row]; j++) {
    gem_vector_add_scaled(out, self->qkv + self->chain[j - text->prompt] * stride + value, scores[j], dim);
  }
}

/* The rows after one prompt, over its keys and values and their own. */
static void
attend_text(Going *self, const GemLayerRecord *record, const Text *text)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize stride = gem_backbone_qkv_width(shape), dim = shape->head_dim, rows = text->end - text->first;
  gsize length = text->prompt + deepest_of_text(self, text) + 1;
  const float *prompt = record->qkv + text->prompt_first * stride;
  for (gsize h = 0; h < shape->heads; h++) {
    gsize key = (shape->heads + h * shape->kv_heads / shape->heads) * dim;
    gem_matmul(FALSE, TRUE, rows, text->prompt, dim, self->qkv + text->first * stride + h * dim, stride,
               prompt + key, stride, FALSE, self->scores + h * rows * length, length);
  }
  for (gsize r = 0; r < rows; r++) {
    fill_chain(self, text->first + r);
    fill_visible(self, record, text, text->first + r);
    for (gsize h = 0; h < shape->heads; h++) {
      weigh_head(self, text, text->first + r, h, length, self->scores + (h * rows + r) * length);
    }
  }
  gsize all = (gsize)shape->heads * dim;
  for (gsize h = 0; h < shape->heads; h++) {
    gsize value = (shape->heads + shape->kv_heads + h * shape->kv_heads / shape->heads) * dim;
    gem_matmul(FALSE, FALSE, rows, dim, text->prompt, self->scores + h * rows * length, length,
               prompt + value, stride, FALSE, self->attention + text->first * all + h * dim, all);
  }
  for (gsize r = 0; r < rows; r++) {
    fill_chain(self, text->first + r);
    for (gsize h = 0; h < shape->heads; h++) {
      add_own_values(self, text, text->first + r, h, self->scores + (h * rows + r) * length);
    }
  }
}

static void
attend(Going *self, guint l)
{
  const GemModelShape *shape = &self->backbone->shape;
  const GemBackboneLayer *layer = &self->backbone->layers[l];
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
  for (gsize t = 0; t < self->n_texts; t++) {
    if (self->texts[t].end > self->texts[t].first) {
      attend_text(self, gem_backbone_record(self->pass, l), &self->texts[t]);
    }
  }
  gem_matmul(FALSE, TRUE, self->rows, width, heads, self->attention, heads,
             self->values + layer->attention_output, heads, TRUE, self->stream, width);
}

/* A SwiGLU of the rows from `first` on, added to the stream. */
static void
add_feed_forward(Going *self, gsize first, gsize rows, gsize gate, gsize down, gsize ffn)
{
  gsize width = self->backbone->shape.width;
  gem_matmul(FALSE, TRUE, rows, 2 * ffn, width, self->normed + first * width, width, self->values + gate,
             width, FALSE, self->gate_up, 2 * ffn);
  gem_swiglu_forward(self->gate_up, rows, ffn, self->hidden);
  gem_matmul(FALSE, TRUE, rows, width, ffn, self->hidden, ffn, self->values + down, ffn, TRUE,
             self->stream + first * width, width);
}

/* The general part of all rows, then the residuals: texts of one route one after another at once. */
static void
feed_forward(Going *self, guint l)
{
  const GemModelShape *shape = &self->backbone->shape;
  const GemBackboneLayer *layer = &self->backbone->layers[l];
  gem_rms_norm_forward(self->stream, self->values + layer->ffn_norm, self->rows, shape->width,
                       shape->rms_epsilon, self->inverse, self->normed);
  if (!self->backbone->exclusive) {
    add_feed_forward(self, 0, self->rows, layer->gate, layer->down, shape->ffn);
  }
  for (gsize t = 0; t < self->n_texts;) {
    gint8 route = self->routes[t];
    gsize first = G_MAXSIZE, end = 0;
    for (; t < self->n_texts && self->routes[t] == route; t++) {
      if (self->texts[t].end > self->texts[t].first) {
        first = MIN(first, self->texts[t].first);
        end = self->texts[t].end;
      }
    }
    if (route >= 0 && first < end) {
      add_feed_forward(self, first, end - first, layer->domain_gate[route], layer->domain_down[route],
                       shape->domain_ffn);
    } else if (self->backbone->exclusive && first < end) {
      add_feed_forward(self, first, end - first, layer->gate, layer->down, shape->ffn);
    }
  }
}

/* final[rows][width]: the normed states of the rows. */
static void
run_rows(Going *self, float *final)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize width = shape->width;
  for (gsize r = 0; r < self->rows; r++) {
    guint32 token = gem_continuations_node(self->continuations, self->node[r])->token;
    memcpy(self->stream + r * width, self->values + self->backbone->embedding + token * width,
           width * sizeof(float));
  }
  for (guint l = 0; l < shape->layers; l++) {
    attend(self, l);
    feed_forward(self, l);
  }
  gem_rms_norm_forward(self->stream, self->values + self->backbone->output_norm, self->rows, width,
                       shape->rms_epsilon, self->inverse, final);
}

/* log p of the nodes of one list, from the logits of the state before them. */
static void
weigh_list(
    const GemContinuations *continuations, guint32 first, float *logits, gsize vocab, double *node_logs)
{
  double log_sum = 0.0;
  for (guint32 i = first; i != GEM_CONTINUATION_NONE; i = gem_continuations_node(continuations, i)->next) {
    node_logs[i] = (double)logits[gem_continuations_node(continuations, i)->token];
  }
  guint32 token = gem_continuations_node(continuations, first)->token;
  log_sum = node_logs[first] + gem_cross_entropy_row(logits, vocab, token, 0.0f);
  for (guint32 i = first; i != GEM_CONTINUATION_NONE; i = gem_continuations_node(continuations, i)->next) {
    node_logs[i] -= log_sum;
  }
}

/* log p of every node: states[texts + rows] are what comes before the lists of the texts and of the rows. */
static void
weigh_nodes(const Going *self, const float *states, GemBackbonePass *pass, double *node_logs)
{
  gsize width = self->backbone->shape.width, vocab = self->backbone->shape.vocab,
        n = self->n_texts + self->rows;
  for (gsize first = 0; first < n; first += GEM_LOGIT_ROWS) {
    gsize rows = MIN(n - first, GEM_LOGIT_ROWS);
    gem_matmul(FALSE, TRUE, rows, vocab, width, states + first * width, width,
               self->values + self->backbone->output, width, FALSE, pass->logits, vocab);
    for (gsize i = first; i < first + rows; i++) {
      guint32 list = i < self->n_texts
                         ? g_array_index(self->continuations->first, guint32, i)
                         : gem_continuations_node(self->continuations, self->node[i - self->n_texts])->child;
      if (list != GEM_CONTINUATION_NONE) {
        weigh_list(self->continuations, list, pass->logits + (i - first) * vocab, vocab, node_logs);
      }
    }
  }
}

void
gem_backbone_weigh(const GemBackbone *self,
                   const float *values,
                   const float *centroids,
                   int cluster_set,
                   const GemBatch *prompts,
                   GemBackbonePass *pass,
                   GemContinuations *continuations,
                   const gint8 *routes,
                   double *logs)
{
  gsize width = self->shape.width, n_texts = continuations->first->len;
  const guint32 *start = (const guint32 *)(gpointer)prompts->start->data;
  g_assert(n_texts == gem_batch_n_sequences(prompts));
  gem_backbone_forward(self, values, centroids, cluster_set, prompts, pass);
  g_auto(Going) going = {.backbone = self,
                         .values = values,
                         .centroids = centroids,
                         .cluster_set = cluster_set,
                         .pass = pass,
                         .continuations = continuations,
                         .routes = routes,
                         .rows = gem_continuations_number_rows(continuations),
                         .n_texts = n_texts};
  g_autofree float *states = g_new(float, (n_texts + going.rows) * width);
  g_autofree double *node_logs = g_new0(double, continuations->nodes->len);
  going_init(&going, prompts);
  for (gsize t = 0; t < n_texts; t++) {
    memcpy(states + t * width, gem_backbone_pass_final(pass) + (start[t + 1] - 1) * width,
           width * sizeof(float));
  }
  run_rows(&going, states + n_texts * width);
  weigh_nodes(&going, states, pass, node_logs);
  for (guint c = 0; c < continuations->ends->len; c++) {
    logs[c] = 0.0;
    for (guint32 i = g_array_index(continuations->ends, guint32, c); i != GEM_CONTINUATION_NONE;) {
      logs[c] += node_logs[i];
      i = gem_continuations_node(continuations, i)->before;
    }
  }
}
