#include "daemon/plugin/gem-tensor-source.h"

typedef struct {
  GemTensorSource source; /* first: the address of both is the same */
  GemGguf *file;
  char *digest;        /* of the file; NULL: unknown */
  GHashTable *strings; /* char* key -> char* value, as asked for so far */
  GError *error;       /* of the first part of a tensor that could not be read; atomic */
} GemGgufSource;

/* Keeps the first error; from any thread. */
static void
keep_error(GemGgufSource *self, GError *error)
{
  if (!g_atomic_pointer_compare_and_exchange(&self->error, NULL, error)) {
    g_error_free(error);
  }
}

static bool
read_part(const GemTensorView *view, size_t offset, size_t bytes, void *to)
{
  GemGgufSource *self = view->context;
  GError *error = NULL;
  if (!gem_gguf_read(self->file, view->tensor, offset, bytes, to, &error)) {
    keep_error(self, error);
    return false;
  }
  return true;
}

static bool
find_tensor(void *context, const char *name, GemTensorView *ret_tensor)
{
  GemGgufSource *self = context;
  const GemTensor *tensor = gem_gguf_find_tensor(self->file, name);
  if (tensor == NULL) {
    return false;
  }
  *ret_tensor = (GemTensorView){
      .type = tensor->type,
      .rows = tensor->rows,
      .cols = tensor->cols,
      .bytes = tensor->bytes,
      .data = gem_gguf_get_data(self->file, tensor),
      .read = read_part,
      .context = self,
      .tensor = tensor,
  };
  return true;
}

/* Integers, floats and booleans alike; one that is too large for either reading is no number. */
static bool
find_number(void *context, const char *key, double *ret_value)
{
  GemGgufSource *self = context;
  guint64 integer;
  gboolean truth;
  if (!gem_gguf_has_key(self->file, key)) {
    return false;
  }
  if (gem_gguf_get_uint(self->file, key, &integer, NULL)) {
    *ret_value = (double)integer;
    return true;
  }
  if (gem_gguf_get_bool(self->file, key, &truth, NULL)) {
    *ret_value = truth ? 1 : 0;
    return true;
  }
  return gem_gguf_get_float(self->file, key, ret_value, NULL);
}

static const char *
find_string(void *context, const char *key)
{
  GemGgufSource *self = context;
  const char *known = g_hash_table_lookup(self->strings, key);
  if (known != NULL || !gem_gguf_has_key(self->file, key)) {
    return known;
  }
  char *value = gem_gguf_get_string(self->file, key, NULL);
  if (value != NULL) {
    g_hash_table_insert(self->strings, g_strdup(key), value);
  }
  return value;
}

GemTensorSource *
gem_tensor_source_new(GemGguf *file)
{
  GemGgufSource *self = g_new0(GemGgufSource, 1);
  self->file = gem_gguf_ref(file);
  self->strings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->source = (GemTensorSource){
      .context = self,
      .file = gem_gguf_get_name(file),
      .find_tensor = find_tensor,
      .find_number = find_number,
      .find_string = find_string,
  };
  return &self->source;
}

void
gem_tensor_source_set_digest(GemTensorSource *self, const char *digest)
{
  GemGgufSource *source = self->context;
  g_free(source->digest);
  source->digest = g_strdup(digest);
}

bool
gem_tensor_source_locate(const GemTensorView *view, const char **ret_digest, uint64_t *ret_offset)
{
  if (view->read != read_part) {
    return false; /* of another source */
  }
  const GemGgufSource *self = view->context;
  const GemTensor *tensor = view->tensor;
  if (self->digest == NULL) {
    return false;
  }
  *ret_digest = self->digest;
  *ret_offset = tensor->offset;
  return true;
}

void
gem_tensor_source_free(GemTensorSource *self)
{
  GemGgufSource *source = self->context;
  g_clear_error(&source->error);
  g_free(source->digest);
  g_hash_table_unref(source->strings);
  gem_gguf_unref(source->file);
  g_free(source);
}

const char *
gem_tensor_source_explain(const GemTensorSource *self, const GemPluginError *reason)
{
  const GemGgufSource *source = self->context;
  return source->error != NULL ? source->error->message : reason->message;
}

const GError *
gem_tensor_source_get_error(const GemTensorSource *self)
{
  const GemGgufSource *source = self->context;
  return source->error;
}

GemShape
gem_shape_for_plugins(const GemModelShape *shape)
{
  GemShape result = {
      .struct_size = sizeof result,
      .vocab = shape->vocab,
      .width = shape->width,
      .layers = shape->layers,
      .heads = shape->heads,
      .kv_heads = shape->kv_heads,
      .head_dim = shape->head_dim,
      .rope_dim = shape->rope_dim,
      .ffn = shape->ffn,
      .domain_ffn = shape->domain_ffn,
      .context = shape->context,
      .window = shape->window,
      .domains = shape->n_domains,
      .n_cluster_sets = shape->n_cluster_sets,
      .rms_epsilon = shape->rms_epsilon,
      .rope_base = shape->rope_base,
      .successors = shape->successors != 0,
  };
  G_STATIC_ASSERT(G_N_ELEMENTS(result.clusters) == GEM_MAX_CLUSTER_SETS);
  for (guint i = 0; i < shape->n_cluster_sets; i++) {
    result.clusters[i] = shape->clusters[i];
  }
  return result;
}
