/* Every tensor that a part of the model needs is there in its shape, and none that nobody would read. */
#include "format/gem-model-private.h"

#include <math.h>
#include <string.h>

/* One file and the names that have been asked for. */
typedef struct {
  GemGguf *file;
  GHashTable *known; /* name, owned */
} TensorCheck;

static void
tensor_check_init(TensorCheck *check, GemGguf *file)
{
  check->file = file;
  check->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void
tensor_check_clear(TensorCheck *check)
{
  g_hash_table_unref(check->known);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TensorCheck, tensor_check_clear)

/* A tensor of the whole model. */
static const GemTensor *
need(TensorCheck *check, const char *name, gsize rows, gsize cols, GError **error)
{
  g_hash_table_add(check->known, g_strdup(name));
  return gem_gguf_require_tensor(check->file, name, rows, cols, error);
}

/* "blk.LAYER.NAME.weight". */
static const GemTensor *
need_of_layer(TensorCheck *check, guint layer, const char *name, gsize rows, gsize cols, GError **error)
{
  g_autofree char *full = g_strdup_printf("blk.%u.%s.weight", layer, name);
  return need(check, full, rows, cols, error);
}

/* A tensor that was not asked for means another model than the one that would be run: say so rather than be
 * wrong. */
static gboolean
refuse_others(TensorCheck *check, GError **error)
{
  for (guint i = 0; i < gem_gguf_n_tensors(check->file); i++) {
    const char *name = gem_gguf_tensor(check->file, i)->name;
    if (!g_hash_table_contains(check->known, name)) {
      g_autofree char *field = g_strdup_printf("tensor %s", name);
      return gem_gguf_fail(check->file, error, GEM_FORMAT_ERROR_UNSUPPORTED, field,
                           "it has no place in this architecture");
    }
  }
  return TRUE;
}

/* Centroids are compared by their product with a row: they must be of length 1. */
static gboolean
check_unit_rows(GemGguf *file, const GemTensor *tensor, GError **error)
{
  g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
  if (tensor->type != GEM_TYPE_F32) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, field, "of type %s; centroids are F32",
                         gem_type_name(tensor->type));
  }
  const guint8 *data = gem_gguf_read_tensor(file, tensor, error);
  if (data == NULL) {
    return FALSE;
  }
  g_autofree float *values = g_new(float, tensor->cols);
  for (gsize row = 0; row < tensor->rows; row++) {
    gem_dequantize_row(GEM_TYPE_F32, data + row * tensor->cols * sizeof(float), values, tensor->cols);
    double square = 0.0;
    for (gsize col = 0; col < tensor->cols; col++) {
      square += (double)values[col] * values[col];
    }
    if (!(fabs(sqrt(square) - 1.0) < 1e-3)) {
      return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "row %" G_GSIZE_FORMAT " has length %g, not 1", row, sqrt(square));
    }
  }
  return TRUE;
}

static gboolean
check_centroids(TensorCheck *check, const GemModelShape *shape, guint layer, GError **error)
{
  for (guint i = 0; i < shape->n_cluster_sets; i++) {
    g_autofree char *name = g_strdup_printf("scar_centroids_%u", shape->clusters[i]);
    const GemTensor *centroids = need_of_layer(check, layer, name, shape->clusters[i], shape->width, error);
    if (centroids == NULL || !check_unit_rows(check->file, centroids, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check_model_layer(TensorCheck *check, const GemModelShape *shape, guint layer, GError **error)
{
  gsize width = shape->width;
  gsize query = (gsize)shape->heads * shape->head_dim;
  gsize key = (gsize)shape->kv_heads * shape->head_dim;
  return need_of_layer(check, layer, "attn_norm", 1, width, error) &&
         need_of_layer(check, layer, "attn_q", query, width, error) &&
         need_of_layer(check, layer, "attn_k", key, width, error) &&
         need_of_layer(check, layer, "attn_v", key, width, error) &&
         need_of_layer(check, layer, "attn_output", width, query, error) &&
         need_of_layer(check, layer, "ffn_norm", 1, width, error) &&
         need_of_layer(check, layer, "ffn_gate", shape->ffn, width, error) &&
         need_of_layer(check, layer, "ffn_up", shape->ffn, width, error) &&
         need_of_layer(check, layer, "ffn_down", width, shape->ffn, error) &&
         check_centroids(check, shape, layer, error);
}

gboolean
gem_model_shape_check_tensors(const GemModelShape *shape, GemGguf *file, GError **error)
{
  g_auto(TensorCheck) check;
  tensor_check_init(&check, file);
  if (!need(&check, "token_embd.weight", shape->vocab, shape->width, error) ||
      !need(&check, "output_norm.weight", 1, shape->width, error) ||
      (!shape->tied && !need(&check, "output.weight", shape->vocab, shape->width, error))) {
    return FALSE;
  }
  for (guint layer = 0; layer < shape->layers; layer++) {
    if (!check_model_layer(&check, shape, layer, error)) {
      return FALSE;
    }
  }
  return refuse_others(&check, error);
}

static gboolean
check_router_layer(TensorCheck *check, const GemRouterShape *shape, guint layer, GError **error)
{
  gsize width = shape->width;
  return need_of_layer(check, layer, "attn_norm", 1, width, error) &&
         need_of_layer(check, layer, "attn_q", width, width, error) &&
         need_of_layer(check, layer, "attn_k", width, width, error) &&
         need_of_layer(check, layer, "attn_v", width, width, error) &&
         need_of_layer(check, layer, "attn_output", width, width, error) &&
         need_of_layer(check, layer, "ffn_norm", 1, width, error) &&
         need_of_layer(check, layer, "ffn_up", shape->ffn, width, error) &&
         need_of_layer(check, layer, "ffn_down", width, shape->ffn, error);
}

gboolean
gem_router_shape_check_tensors(const GemRouterShape *shape, GemGguf *file, GError **error)
{
  g_auto(TensorCheck) check;
  tensor_check_init(&check, file);
  if (!need(&check, "token_embd.weight", shape->vocab, shape->embedding, error) ||
      (shape->embedding != shape->width &&
       !need(&check, "embedding_projection.weight", shape->width, shape->embedding, error)) ||
      !need(&check, "output_norm.weight", 1, shape->width, error) ||
      !need(&check, "classifier.weight", shape->n_domains, shape->width, error)) {
    return FALSE;
  }
  for (guint layer = 0; layer < shape->layers; layer++) {
    if (!check_router_layer(&check, shape, layer, error)) {
      return FALSE;
    }
  }
  return refuse_others(&check, error);
}

/* The key `gempathway.NAME` equals what the model has. */
static gboolean
check_pathway_key(const GemModelKeys *keys, const char *name, guint expected, GError **error)
{
  guint found = 0;
  if (!gem_model_keys_uint(keys, name, 0, G_MAXUINT, &found, error)) {
    return FALSE;
  }
  if (found != expected) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MISMATCH, name, "%u, but the model has %u",
                               found, expected);
  }
  return TRUE;
}

static gboolean
check_pathway_keys(const GemModelShape *shape, const char *domain, GemGguf *file, GError **error)
{
  GemModelKeys keys = {.file = file, .architecture = GEM_ARCHITECTURE_PATHWAY};
  if (!gem_model_check_architecture(file, GEM_ARCHITECTURE_PATHWAY, error)) {
    return FALSE;
  }
  g_autofree char *found = gem_gguf_get_string(file, "gempathway.domain", error);
  if (found == NULL) {
    return FALSE;
  }
  if (strcmp(found, domain) != 0) {
    g_autofree char *shown = gem_gguf_key_to_string(file, "gempathway.domain");
    return gem_model_keys_fail(&keys, error, GEM_FORMAT_ERROR_MISMATCH, "domain", "%s, but \"%s\" is needed",
                               shown, domain);
  }
  return check_pathway_key(&keys, "embedding_length", shape->width, error) &&
         check_pathway_key(&keys, "block_count", shape->layers, error) &&
         check_pathway_key(&keys, "feed_forward_length", shape->domain_ffn, error);
}

static gboolean
check_pathway_layers(TensorCheck *check, const GemModelShape *shape, GError **error)
{
  for (guint layer = 0; layer < shape->layers; layer++) {
    if (!need_of_layer(check, layer, "ffn_gate", shape->domain_ffn, shape->width, error) ||
        !need_of_layer(check, layer, "ffn_up", shape->domain_ffn, shape->width, error) ||
        !need_of_layer(check, layer, "ffn_down", shape->width, shape->domain_ffn, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_pathway_check(const GemModelShape *shape, const char *domain, GemGguf *file, GError **error)
{
  g_auto(TensorCheck) check;
  tensor_check_init(&check, file);
  return check_pathway_keys(shape, domain, file, error) && check_pathway_layers(&check, shape, error) &&
         refuse_others(&check, error);
}

gboolean
gem_pathway_check_learned(
    const GemModelShape *shape, const char *domain, guint router_width, GemGguf *file, GError **error)
{
  g_auto(TensorCheck) check;
  tensor_check_init(&check, file);
  return check_pathway_keys(shape, domain, file, error) && check_pathway_layers(&check, shape, error) &&
         need(&check, GEM_LEARNED_ROW, 1, router_width, error) &&
         need(&check, GEM_LEARNED_BIAS, 1, 1, error) && refuse_others(&check, error);
}

void
gem_pathway_write(const GemModelShape *shape, const char *domain, GemGgufWriter *writer)
{
  gem_model_write_architecture(writer, GEM_ARCHITECTURE_PATHWAY);
  gem_gguf_writer_set_string(writer, "gempathway.domain", domain);
  gem_gguf_writer_set_uint(writer, "gempathway.embedding_length", shape->width);
  gem_gguf_writer_set_uint(writer, "gempathway.block_count", shape->layers);
  gem_gguf_writer_set_uint(writer, "gempathway.feed_forward_length", shape->domain_ffn);
}
