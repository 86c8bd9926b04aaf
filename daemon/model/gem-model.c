#include "daemon/model/gem-model.h"

#include "daemon/plugin/gem-tensor-source.h"
#include "dbus/gem-error.h"

/* What is loaded from: the file, and the same as modules see it. */
typedef struct {
  GemGguf *file;
  GemTensorSource *source;
} Loading;

/* A tensor, packed by the backend. */
static GemMatrix *
load_matrix(
    const GemModel *self, const Loading *loading, const char *name, gsize rows, gsize cols, GError **error)
{
  GemPluginError reason = {0};
  GemTensorView view;
  GemMatrix *matrix;

  if (gem_gguf_require_tensor(loading->file, name, rows, cols, error) == NULL) {
    return NULL;
  }
  loading->source->find_tensor(loading->source->context, name, &view);
  matrix = self->backend->functions->matrix_new(self->backend->state, &view, &reason);
  if (matrix == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s: tensor %s: %s", gem_gguf_get_name(loading->file),
                name, gem_tensor_source_explain(loading->source, &reason));
  }
  return matrix;
}

/* A norm's weights as floats; NULL and an error when it is missing. */
static float *
load_vector(GemGguf *file, const char *name, gsize cols, GError **error)
{
  const GemTensor *tensor = gem_gguf_require_tensor(file, name, 1, cols, error);
  const void *data = tensor != NULL ? gem_gguf_read_tensor(file, tensor, error) : NULL;
  float *values;

  if (data == NULL) {
    return NULL;
  }
  values = g_new(float, cols);
  gem_dequantize_row(tensor->type, data, values, cols);
  return values;
}

static gboolean
load_layer(GemModel *self, const Loading *loading, guint index, GError **error)
{
  const GemModelShape *shape = self->shape;
  GemModelLayer *layer = &self->layers[index];
  gsize query_rows = (gsize)shape->heads * shape->head_dim;
  gsize key_rows = (gsize)shape->kv_heads * shape->head_dim;
  struct {
    const char *name;
    GemMatrix **matrix;
    gsize rows, cols;
  } matrices[] = {
      {"attn_q", &layer->query, query_rows, shape->width},
      {"attn_k", &layer->key, key_rows, shape->width},
      {"attn_v", &layer->value, key_rows, shape->width},
      {"attn_output", &layer->output, shape->width, query_rows},
  };
  g_autofree char *attention_norm = g_strdup_printf("blk.%u.attn_norm.weight", index);
  g_autofree char *ffn_norm = g_strdup_printf("blk.%u.ffn_norm.weight", index);

  for (guint i = 0; i < G_N_ELEMENTS(matrices); i++) {
    g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", index, matrices[i].name);

    *matrices[i].matrix = load_matrix(self, loading, name, matrices[i].rows, matrices[i].cols, error);
    if (*matrices[i].matrix == NULL) {
      return FALSE;
    }
  }
  layer->attention_norm = load_vector(loading->file, attention_norm, shape->width, error);
  if (layer->attention_norm == NULL) {
    return FALSE;
  }
  layer->ffn_norm = load_vector(loading->file, ffn_norm, shape->width, error);
  return layer->ffn_norm != NULL;
}

static gboolean
load_all(GemModel *self, const Loading *loading, GError **error)
{
  const GemModelShape *shape = self->shape;

  self->embedding = load_matrix(self, loading, "token_embd.weight", shape->vocab, shape->width, error);
  if (self->embedding == NULL) {
    return FALSE;
  }
  self->output = shape->tied ? self->embedding
                             : load_matrix(self, loading, "output.weight", shape->vocab, shape->width, error);
  if (self->output == NULL) {
    return FALSE;
  }
  self->output_norm = load_vector(loading->file, "output_norm.weight", shape->width, error);
  if (self->output_norm == NULL) {
    return FALSE;
  }
  for (guint i = 0; i < shape->layers; i++) {
    if (!load_layer(self, loading, i, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

GemModel *
gem_model_new(GemGguf *file, const GemModelShape *shape, const GemBackend *backend, GError **error)
{
  g_autoptr(GemModel) self = g_new0(GemModel, 1);
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(file);

  self->shape = shape;
  self->backend = backend;
  self->layers = g_new0(GemModelLayer, shape->layers);
  return load_all(self, &(Loading){file, source}, error) ? g_steal_pointer(&self) : NULL;
}

static void
free_matrix(const GemModel *self, GemMatrix *matrix)
{
  if (matrix != NULL) {
    self->backend->functions->matrix_free(self->backend->state, matrix);
  }
}

void
gem_model_free(GemModel *self)
{
  if (self == NULL) {
    return;
  }
  for (guint i = 0; i < self->shape->layers; i++) {
    GemModelLayer *layer = &self->layers[i];

    free_matrix(self, layer->query);
    free_matrix(self, layer->key);
    free_matrix(self, layer->value);
    free_matrix(self, layer->output);
    g_free(layer->attention_norm);
    g_free(layer->ffn_norm);
  }
  if (self->output != self->embedding) {
    free_matrix(self, self->output);
  }
  free_matrix(self, self->embedding);
  g_free(self->output_norm);
  g_free(self->layers);
  g_free(self);
}

gsize
gem_model_bytes(const GemModel *self)
{
  gsize (*bytes)(const GemMatrix *) = self->backend->functions->matrix_bytes;
  gsize norms = (2 * (gsize)self->shape->layers + 1) * self->shape->width * sizeof(float);
  gsize sum = bytes(self->embedding) + norms;

  if (self->output != self->embedding) {
    sum += bytes(self->output);
  }
  for (guint i = 0; i < self->shape->layers; i++) {
    const GemModelLayer *layer = &self->layers[i];

    sum += bytes(layer->query) + bytes(layer->key) + bytes(layer->value) + bytes(layer->output);
  }
  return sum;
}
