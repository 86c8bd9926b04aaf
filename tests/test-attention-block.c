/* Attention over ragged batches against its definition in double precision, for every kind of view, with
 * grouped heads, forwards and backwards. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/network/gem-attention-block.h"

typedef struct {
  GemAttentionView view;
  GemBatch *batch;
  float *dout; /* [n][heads head_dim] */
} Scene;

static const guint lengths[] = {9, 1, 14};
static const guint8 clusters[] = {0, 1, 0, 2, 2, 1, 0, 1, 2, 7, 3, 0, 0, 3, 1, 1, 3, 0, 2, 3, 1, 0, 3, 3};
static const guint prefixes[] = {5, 1, 10};

static gsize
row_width(const GemAttentionView *view)
{
  return (view->heads + 2 * view->kv_heads) * view->head_dim;
}

static gsize
out_width(const GemAttentionView *view)
{
  return view->heads * view->head_dim;
}

static void
scene_init(Scene *self, const GemAttentionView *view)
{
  const guint32 tokens[32] = {0};
  *self = (Scene){.view = *view, .batch = gem_batch_new(64)};
  for (gsize s = 0; s < G_N_ELEMENTS(lengths); s++) {
    gem_batch_append(self->batch, tokens, lengths[s], GEM_ROUTE_GENERAL, 1.0f);
    self->batch->prefix[s] = prefixes[s];
  }
  g_assert_cmpuint(self->batch->n, ==, G_N_ELEMENTS(clusters));
  self->dout = gem_test_normal_new(self->batch->n * out_width(view), 21);
}

static void
scene_clear(Scene *self)
{
  gem_batch_free(self->batch);
  g_free(self->dout);
}

/* The definition, from model.md: what token i of a sequence sees of its token j. */
static gboolean
is_visible(const GemAttentionView *view, const guint8 *own_clusters, gsize prefix, gsize i, gsize j)
{
  if (view->bidirectional) {
    gsize distance = i > j ? i - j : j - i;
    return distance < view->window && (j <= i || (i < prefix && j < prefix));
  }
  if (view->clusters != NULL) {
    gsize of = view->successors && j > 0 ? j - 1 : j;
    return j <= i && (own_clusters[i] == own_clusters[of] || i - j < view->window || j == 0);
  }
  return j <= i;
}

/* One head of one token, from its sequence's rows: out[head_dim]. */
static void
attend(
    const Scene *self, const double *rows, gsize first, gsize length, gsize s, gsize i, gsize h, double *out)
{
  const GemAttentionView *view = &self->view;
  gsize stride = row_width(view), dim = view->head_dim, kv = h / (view->heads / view->kv_heads);
  double total = 0.0;
  memset(out, 0, dim * sizeof(double));
  for (gsize j = 0; j < length; j++) {
    if (!is_visible(view, view->clusters ? view->clusters + first : NULL, self->batch->prefix[s], i, j)) {
      continue;
    }
    double score = 0.0;
    for (gsize x = 0; x < dim; x++) {
      score += rows[i * stride + h * dim + x] * rows[j * stride + (view->heads + kv) * dim + x];
    }
    double weight = exp(score / sqrt((double)dim));
    total += weight;
    for (gsize x = 0; x < dim; x++) {
      out[x] += weight * rows[j * stride + (view->heads + view->kv_heads + kv) * dim + x];
    }
  }
  for (gsize x = 0; x < dim; x++) {
    out[x] /= total;
  }
}

/* out[n][heads head_dim]; returns the sum of dout out. */
static double
reference(const Scene *self, const double *qkv, double *out)
{
  double sum = 0.0;
  gsize dim = self->view.head_dim, first = 0;
  for (gsize s = 0; s < G_N_ELEMENTS(lengths); s++) {
    for (gsize i = 0; i < lengths[s]; i++) {
      for (gsize h = 0; h < self->view.heads; h++) {
        gsize at = (first + i) * out_width(&self->view) + h * dim;
        attend(self, qkv + first * row_width(&self->view), first, lengths[s], s, i, h, out + at);
        for (gsize x = 0; x < dim; x++) {
          sum += out[at + x] * (double)self->dout[at + x];
        }
      }
    }
    first += lengths[s];
  }
  return sum;
}

static float *
run_forward(const Scene *self, const float *qkv, float *probabilities)
{
  guint8 scratch[32];
  float *out = g_new(float, self->batch->n *out_width(&self->view));
  gem_attention_block_forward(&self->view, self->batch, qkv, probabilities, scratch, out);
  return out;
}

static void
check_view(const GemAttentionView *view)
{
  Scene scene;
  scene_init(&scene, view);
  gsize n = scene.batch->n, values = n * row_width(view), results = n * out_width(view);
  g_autofree float *qkv = gem_test_normal_new(values, 20);
  g_autofree float *probabilities = g_new(float, gem_attention_block_probabilities(scene.batch, view->heads));
  g_autofree float *out = run_forward(&scene, qkv, probabilities);
  g_autofree float *square = g_new(float, 14 * 14), *dqkv = g_new(float, values);
  gem_attention_block_backward(view, scene.batch, qkv, probabilities, scene.dout, square, dqkv);

  g_autofree double *wide = g_new(double, values), *expected = g_new(double, results);
  g_autofree double *scratch = g_new(double, results);
  for (gsize i = 0; i < values; i++) {
    wide[i] = (double)qkv[i];
  }
  reference(&scene, wide, expected);
  for (gsize i = 0; i < results; i++) {
    g_assert_cmpfloat_with_epsilon((double)out[i], expected[i], 1e-5);
  }
  const double h = 1e-5;
  for (gsize i = 0; i < values; i++) {
    double kept = wide[i];
    wide[i] = kept + h;
    double above = reference(&scene, wide, scratch);
    wide[i] = kept - h;
    double below = reference(&scene, wide, scratch);
    wide[i] = kept;
    g_assert_cmpfloat_with_epsilon((double)dqkv[i], (above - below) / (2.0 * h), 2e-5);
  }
  scene_clear(&scene);
}

static void
test_dense(void)
{
  check_view(&(GemAttentionView){.heads = 2, .kv_heads = 2, .head_dim = 6});
}

static void
test_grouped(void)
{
  check_view(&(GemAttentionView){.heads = 6, .kv_heads = 2, .head_dim = 4});
  check_view(&(GemAttentionView){.heads = 3, .kv_heads = 1, .head_dim = 4});
}

static void
test_clusters(void)
{
  const gsize windows[] = {0, 1, 3, 100}; /* 0: the paper's own mask, and the first token */
  for (gsize i = 0; i < 2 * G_N_ELEMENTS(windows); i++) {
    check_view(&(GemAttentionView){.heads = 4,
                                   .kv_heads = 2,
                                   .head_dim = 4,
                                   .clusters = clusters,
                                   .window = windows[i / 2],
                                   .successors = i % 2 == 1});
  }
}

static void
test_bidirectional(void)
{
  const gsize windows[] = {1, 4, 128};
  for (gsize i = 0; i < G_N_ELEMENTS(windows); i++) {
    check_view(&(GemAttentionView){
        .heads = 2, .kv_heads = 2, .head_dim = 4, .bidirectional = TRUE, .window = windows[i]});
  }
}

/* Whatever stands in one sequence, the others give the same bits. */
static void
test_sequences_are_apart(void)
{
  Scene scene;
  scene_init(&scene, &(GemAttentionView){
                         .heads = 2, .kv_heads = 2, .head_dim = 4, .bidirectional = TRUE, .window = 128});
  gsize width = row_width(&scene.view), out = out_width(&scene.view);
  g_autofree float *qkv = gem_test_normal_new(scene.batch->n * width, 22);
  g_autofree float *probabilities =
      g_new(float, gem_attention_block_probabilities(scene.batch, scene.view.heads));
  g_autofree float *before = run_forward(&scene, qkv, probabilities);
  for (gsize i = 0; i < lengths[0] * width; i++) {
    qkv[i] = 100.0f - qkv[i];
  }
  g_autofree float *after = run_forward(&scene, qkv, probabilities);
  g_assert_cmpfloat(before[0], !=, after[0]);
  gem_test_assert_same_bytes(before + lengths[0] * out, after + lengths[0] * out,
                             (scene.batch->n - lengths[0]) * out * sizeof(float), "other sequences");
  scene_clear(&scene);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  gem_matmul_select("fp32", NULL);
  g_test_add_func("/attention-block/dense", test_dense);
  g_test_add_func("/attention-block/grouped", test_grouped);
  g_test_add_func("/attention-block/clusters", test_clusters);
  g_test_add_func("/attention-block/bidirectional", test_bidirectional);
  g_test_add_func("/attention-block/sequences-are-apart", test_sequences_are_apart);
  return g_test_run();
}
