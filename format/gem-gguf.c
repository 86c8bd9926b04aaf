#include "format/gem-gguf-private.h"

#include "format/gem-file.h"

G_DEFINE_QUARK(gem - format - error - quark, gem_format_error)

static void
clear_value(gpointer value)
{
  g_free(((GgufValue *)value)->key);
}

static void
clear_tensor(gpointer tensor)
{
  g_free((char *)((GemTensor *)tensor)->name);
}

GemGguf *
gem_gguf_new_from_bytes(GBytes *bytes, const char *name, GError **error)
{
  g_return_val_if_fail(bytes != NULL && name != NULL, NULL);

  g_autoptr(GemGguf) self = g_new0(GemGguf, 1);
  g_atomic_ref_count_init(&self->references);
  self->name = g_strdup(name);
  self->display_name = g_filename_display_name(name);
  self->bytes = g_bytes_ref(bytes);
  self->values = g_array_new(FALSE, FALSE, sizeof(GgufValue));
  g_array_set_clear_func(self->values, clear_value);
  self->value_indices = g_hash_table_new(g_str_hash, g_str_equal);
  self->tensors = g_array_new(FALSE, FALSE, sizeof(GemTensor));
  g_array_set_clear_func(self->tensors, clear_tensor);
  self->tensor_indices = g_hash_table_new(g_str_hash, g_str_equal);
  if (!gem_gguf_parse(self, error)) {
    return NULL;
  }
  return g_steal_pointer(&self);
}

GemGguf *
gem_gguf_open(const char *path, GError **error)
{
  g_return_val_if_fail(path != NULL, NULL);

  g_autoptr(GBytes) bytes = gem_file_map(path, error);
  if (bytes == NULL) {
    return NULL;
  }
  return gem_gguf_new_from_bytes(bytes, path, error);
}

GemGguf *
gem_gguf_ref(GemGguf *self)
{
  g_atomic_ref_count_inc(&self->references);
  return self;
}

void
gem_gguf_unref(GemGguf *self)
{
  if (self == NULL || !g_atomic_ref_count_dec(&self->references)) {
    return;
  }
  g_hash_table_unref(self->value_indices);
  g_hash_table_unref(self->tensor_indices);
  g_array_unref(self->values);
  g_array_unref(self->tensors);
  g_bytes_unref(self->bytes);
  g_free(self->display_name);
  g_free(self->name);
  g_free(self);
}

gboolean
gem_gguf_fail(GemGguf *self, GError **error, GemFormatError code, const char *field, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, GEM_FORMAT_ERROR, code, "%s: %s: %s", self->display_name, field, message);
  return FALSE;
}

const char *
gem_gguf_get_name(GemGguf *self)
{
  return self->name;
}

gsize
gem_gguf_get_size(GemGguf *self)
{
  return g_bytes_get_size(self->bytes);
}

gboolean
gem_gguf_has_key(GemGguf *self, const char *key)
{
  return g_hash_table_contains(self->value_indices, key);
}

guint
gem_gguf_n_keys(GemGguf *self)
{
  return self->values->len;
}

const char *
gem_gguf_key_name(GemGguf *self, guint index)
{
  g_return_val_if_fail(index < self->values->len, NULL);
  return g_array_index(self->values, GgufValue, index).key;
}

guint
gem_gguf_n_tensors(GemGguf *self)
{
  return self->tensors->len;
}

const GemTensor *
gem_gguf_tensor(GemGguf *self, guint index)
{
  g_return_val_if_fail(index < self->tensors->len, NULL);
  return &g_array_index(self->tensors, GemTensor, index);
}

const GemTensor *
gem_gguf_find_tensor(GemGguf *self, const char *name)
{
  gpointer index;
  if (!g_hash_table_lookup_extended(self->tensor_indices, name, NULL, &index)) {
    return NULL;
  }
  return &g_array_index(self->tensors, GemTensor, GPOINTER_TO_UINT(index));
}

const GemTensor *
gem_gguf_require_tensor(GemGguf *self, const char *name, size_t rows, size_t cols, GError **error)
{
  const GemTensor *tensor = gem_gguf_find_tensor(self, name);
  if (tensor == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING, "%s: tensor %s is missing",
                self->display_name, name);
    return NULL;
  }
  if (tensor->rows != rows || tensor->cols != cols) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s: tensor %s: %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT ", but %" G_GSIZE_FORMAT
                " x %" G_GSIZE_FORMAT " is needed",
                self->display_name, name, tensor->rows, tensor->cols, rows, cols);
    return NULL;
  }
  return tensor;
}
