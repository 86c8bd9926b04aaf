#include "tests/reference-forward.h"

#include <math.h>
#include <string.h>

#include "tests/gem-test-reference.h"

typedef struct {
  GemModelFiles *files;
  const GemModelShape *shape;
  guint n;
  int cluster_set;
  gboolean half;
  double *x; /* [n][width] */
  double *u; /* [n][width] normed */
} Pass;

/* All values of a tensor as floats. */
static float *
tensor_values(GemGguf *file, const char *name)
{
  const GemTensor *tensor = gem_gguf_find_tensor(file, name);
  g_autoptr(GError) error = NULL;
  const guint8 *data;
  float *values;

  g_assert_nonnull(tensor);
  data = gem_gguf_read_tensor(file, tensor, &error);
  g_assert_no_error(error);
  values = g_new(float, tensor->rows * tensor->cols);
  for (gsize i = 0; i < tensor->rows; i++) {
    gem_dequantize_row(tensor->type, data + i * (tensor->bytes / tensor->rows), values + i * tensor->cols,
                       tensor->cols);
  }
  return values;
}

static float *
layer_values(GemGguf *file, guint layer, const char *part)
{
  g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, part);

  return tensor_values(file, name);
}

static void
norm_rows(const Pass *pass, const float *weight)
{
  gsize width = pass->shape->width;

  for (guint i = 0; i < pass->n; i++) {
    gem_test_rms_norm(pass->x + i * width, weight, width, (double)pass->shape->rms_epsilon,
                      pass->u + i * width);
  }
}

/* y [n][rows] = W u */
static double *
project_rows(const Pass *pass, const float *weights, gsize rows)
{
  double *y = g_new(double, pass->n *rows);

  for (guint i = 0; i < pass->n; i++) {
    gem_test_linear(weights, rows, pass->shape->width, pass->u + (gsize)i * pass->shape->width, y + i * rows);
  }
  return y;
}

/* argmax_j cos(u, mu_j); centroids [k][width]. */
static guint
nearest_centroid(const Pass *pass, const double *u, const float *centroids, guint k)
{
  guint best = 0;
  double best_cosine = -2;

  for (guint j = 0; j < k; j++) {
    double dot = 0, uu = 0, mm = 0;

    for (guint d = 0; d < pass->shape->width; d++) {
      double m = (double)centroids[(gsize)j * pass->shape->width + d];

      dot += u[d] * m;
      uu += u[d] * u[d];
      mm += m * m;
    }
    if (dot / sqrt(uu * mm) > best_cosine) {
      best_cosine = dot / sqrt(uu * mm);
      best = j;
    }
  }
  return best;
}

/* The cluster of each token in this layer; NULL for dense attention. */
static guint *
assign_clusters(const Pass *pass, guint layer)
{
  g_autofree char *name = NULL;
  g_autofree float *centroids = NULL;
  guint *clusters;
  guint k;

  if (pass->cluster_set < 0) {
    return NULL;
  }
  k = pass->shape->clusters[pass->cluster_set];
  name = g_strdup_printf("blk.%u.scar_centroids_%u.weight", layer, k);
  centroids = tensor_values(pass->files->general, name);
  clusters = g_new(guint, pass->n);
  for (guint i = 0; i < pass->n; i++) {
    clusters[i] = nearest_centroid(pass, pass->u + (gsize)i * pass->shape->width, centroids, k);
  }
  return clusters;
}

static void
run_attention(const Pass *pass, guint layer)
{
  const GemModelShape *shape = pass->shape;
  GemGguf *file = pass->files->general;
  gsize query_width = (gsize)shape->heads * shape->head_dim;
  gsize key_width = (gsize)shape->kv_heads * shape->head_dim;
  g_autofree float *norm = layer_values(file, layer, "attn_norm");
  g_autofree float *wq = layer_values(file, layer, "attn_q");
  g_autofree float *wk = layer_values(file, layer, "attn_k");
  g_autofree float *wv = layer_values(file, layer, "attn_v");
  g_autofree float *wo = layer_values(file, layer, "attn_output");
  g_autofree gboolean *visible = g_new(gboolean, pass->n);
  g_autofree double *out = g_new(double, query_width);
  g_autofree double *added = g_new(double, shape->width);

  norm_rows(pass, norm);
  g_autofree double *q = project_rows(pass, wq, query_width);
  g_autofree double *k = project_rows(pass, wk, key_width);
  g_autofree double *v = project_rows(pass, wv, key_width);
  g_autofree guint *clusters = assign_clusters(pass, layer);

  for (guint i = 0; i < pass->n; i++) {
    gem_test_rope(q + i * query_width, i, shape->heads, shape->head_dim, shape->rope_dim,
                  (double)shape->rope_base);
    gem_test_rope(k + i * key_width, i, shape->kv_heads, shape->head_dim, shape->rope_dim,
                  (double)shape->rope_base);
  }
  gem_test_round_keys_values(k, v, pass->n, shape->kv_heads, shape->head_dim, pass->half);
  if (!pass->half) {
    gem_test_round_queries(q, (gsize)pass->n * shape->heads, shape->head_dim);
  }
  for (guint i = 0; i < pass->n; i++) {
    for (guint j = 0; j <= i; j++) {
      guint of = shape->successors && j > 0 ? j - 1 : j;

      visible[j] = clusters == NULL || clusters[i] == clusters[of] || i - j < shape->window || j == 0;
    }
    gem_test_attend(q + i * query_width, shape->heads, shape->kv_heads, shape->head_dim, k, v, visible, i + 1,
                    out);
    gem_test_linear(wo, shape->width, query_width, out, added);
    for (guint d = 0; d < shape->width; d++) {
      pass->x[(gsize)i * shape->width + d] += added[d];
    }
  }
}

/* Adds a feed-forward of `file` to the rows routed to `route`; to all when all is TRUE. */
static void
add_feed_forward(const Pass *pass,
                 GemGguf *file,
                 guint layer,
                 guint hidden,
                 gboolean all,
                 const guint8 *routes,
                 guint8 route)
{
  gsize width = pass->shape->width;
  g_autofree float *gate = layer_values(file, layer, "ffn_gate");
  g_autofree float *up = layer_values(file, layer, "ffn_up");
  g_autofree float *down = layer_values(file, layer, "ffn_down");

  for (guint i = 0; i < pass->n; i++) {
    if (all || routes[i] == route) {
      gem_test_feed_forward(gate, up, down, width, hidden, pass->u + i * width, pass->x + i * width);
    }
  }
}

static void
run_feed_forward(const Pass *pass, guint layer, const guint8 *routes)
{
  const GemModelShape *shape = pass->shape;
  g_autofree float *norm = layer_values(pass->files->general, layer, "ffn_norm");

  norm_rows(pass, norm);
  add_feed_forward(pass, pass->files->general, layer, shape->ffn, TRUE, routes, 0);
  for (guint8 domain = 0; domain < shape->n_domains; domain++) {
    g_autoptr(GError) error = NULL;

    if (memchr(routes, domain, pass->n) != NULL) {
      g_autoptr(GemGguf) file = gem_model_files_open_pathway(pass->files, shape->domains[domain], &error);

      g_assert_no_error(error);
      add_feed_forward(pass, file, layer, shape->domain_ffn, FALSE, routes, domain);
    }
  }
}

static void
embed_tokens(const Pass *pass, const guint32 *tokens)
{
  gsize width = pass->shape->width;
  g_autofree float *embedding = tensor_values(pass->files->general, "token_embd.weight");

  for (guint i = 0; i < pass->n; i++) {
    for (gsize d = 0; d < width; d++) {
      pass->x[i * width + d] = (double)embedding[tokens[i] * width + d];
    }
  }
}

double *
reference_forward(GemModelFiles *files,
                  const guint32 *tokens,
                  guint n,
                  const guint8 *routes,
                  int cluster_set,
                  gboolean half,
                  gboolean hidden)
{
  const GemModelShape *shape = &files->shape;
  g_autofree double *x = g_new(double, (gsize)n * shape->width);
  g_autofree double *u = g_new(double, (gsize)n * shape->width);
  g_autofree float *norm = tensor_values(files->general, "output_norm.weight");
  g_autofree float *output =
      tensor_values(files->general, shape->tied ? "token_embd.weight" : "output.weight");
  Pass pass = {
      .files = files, .shape = shape, .n = n, .cluster_set = cluster_set, .half = half, .x = x, .u = u};

  embed_tokens(&pass, tokens);
  for (guint layer = 0; layer < shape->layers; layer++) {
    run_attention(&pass, layer);
    run_feed_forward(&pass, layer, routes);
  }
  norm_rows(&pass, norm);
  return hidden ? g_steal_pointer(&u) : project_rows(&pass, output, shape->vocab);
}

double
reference_log_likelihood(const double *logits, guint vocab, guint32 token)
{
  double largest = logits[0];
  double sum = 0;

  for (guint i = 1; i < vocab; i++) {
    largest = fmax(largest, logits[i]);
  }
  for (guint i = 0; i < vocab; i++) {
    sum += exp(logits[i] - largest);
  }
  return logits[token] - largest - log(sum);
}
