/* The tensors of a file: found by name, and their bytes, from memory, a mapping or the disk. */
#include "format/gem-gguf-private.h"

#include <string.h>

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

/* ---- bytes ---- */

const void *
gem_gguf_get_data(GemGguf *self, const GemTensor *tensor)
{
  return self->reader == NULL ? (const guint8 *)g_bytes_get_data(self->bytes, NULL) + tensor->offset : NULL;
}

gboolean
gem_gguf_read(GemGguf *self, const GemTensor *tensor, gsize offset, gsize bytes, void *to, GError **error)
{
  const guint8 *data = gem_gguf_get_data(self, tensor);

  g_return_val_if_fail(offset <= tensor->bytes && bytes <= tensor->bytes - offset, FALSE);

  if (data == NULL) {
    return gem_file_reader_read(self->reader, tensor->offset + offset, to, bytes, error);
  }
  memcpy(to, data + offset, bytes);
  return TRUE;
}

gboolean
gem_gguf_read_doubles(GemGguf *self, const char *name, gsize n, double *ret_values, GError **error)
{
  const GemTensor *tensor = gem_gguf_require_tensor(self, name, 1, 2 * n, error);
  if (tensor == NULL) {
    return FALSE;
  }
  if (tensor->type != GEM_TYPE_F32) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED, "%s: tensor %s: %s; it has to be F32",
                self->display_name, name, gem_type_name(tensor->type));
    return FALSE;
  }
  return gem_gguf_read(self, tensor, 0, n * sizeof *ret_values, ret_values, error);
}

static gboolean
reserve_buffer(GemGguf *self, const GemTensor *tensor, GError **error)
{
  if (tensor->bytes <= self->buffer_bytes) {
    return TRUE;
  }
  g_free(self->buffer);
  self->buffer = g_try_malloc(tensor->bytes);
  self->buffer_bytes = self->buffer != NULL ? tensor->bytes : 0;
  if (self->buffer == NULL) {
    g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
    return gem_gguf_fail(self, error, GEM_FORMAT_ERROR_IO, field,
                         "no memory for its %" G_GSIZE_FORMAT " bytes", tensor->bytes);
  }
  return TRUE;
}

const void *
gem_gguf_read_tensor(GemGguf *self, const GemTensor *tensor, GError **error)
{
  const void *data = gem_gguf_get_data(self, tensor);

  if (data != NULL) {
    return data;
  }
  return reserve_buffer(self, tensor, error) &&
                 gem_gguf_read(self, tensor, 0, tensor->bytes, self->buffer, error)
             ? self->buffer
             : NULL;
}

guint64
gem_gguf_tensor_bytes(GemGguf *self)
{
  guint64 sum = 0;

  for (guint i = 0; i < self->tensors->len; i++) {
    sum += gem_gguf_tensor(self, i)->bytes;
  }
  return sum;
}

gboolean
gem_gguf_check_unchanged(GemGguf *self, GError **error)
{
  return self->reader == NULL || gem_file_reader_check_unchanged(self->reader, error);
}
