/* The tensors of a file: found by name, and their bytes, from memory, a mapping or the disk. */
#include "format/gem-gguf-private.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A buffer up to this size is kept for the next tensor: it stays in the second-level cache, so that reading a
 * tensor and packing it cost little more than a copy. Larger ones go as soon as another tensor is read. */
#define KEPT_BUFFER 1048576u
#define HUGE_PAGE   2097152u

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

/* Tells the system about the pages of a mapped file that lie within `data`, whole ones only. A wish: where
 * it does not know the advice they come and go as they are touched. */
static void
advise(const void *data, gsize bytes, gboolean outward, int advice)
{
  guintptr page = (guintptr)sysconf(_SC_PAGESIZE);
  guintptr first = (guintptr)data & ~(page - 1), end = ((guintptr)data + bytes + page - 1) & ~(page - 1);

  if (!outward) {
    first = ((guintptr)data + page - 1) & ~(page - 1);
    end = ((guintptr)data + bytes) & ~(page - 1);
  }
  if (first < end) {
    (void)madvise((void *)first, end - first, advice);
  }
}

/* A large buffer asks for large pages: a fault for each small one would cost more than the reading. */
static void *
buffer_new(gsize bytes)
{
  void *buffer = NULL;
  gsize alignment = bytes > KEPT_BUFFER ? HUGE_PAGE : 64;

  if (posix_memalign(&buffer, alignment, MAX(bytes, 1)) != 0) {
    return NULL;
  }
  if (bytes > KEPT_BUFFER) {
    (void)madvise(buffer, bytes, MADV_HUGEPAGE);
  }
  return buffer;
}

void
gem_gguf_release_tensor(GemGguf *self)
{
  const GemTensor *tensor = g_steal_pointer(&self->current);

  if (tensor != NULL && self->mapped) {
    advise((const guint8 *)g_bytes_get_data(self->bytes, NULL) + tensor->offset, tensor->bytes, FALSE,
           MADV_DONTNEED);
  }
  if (self->buffer_bytes > KEPT_BUFFER) {
    g_clear_pointer(&self->buffer, free);
    self->buffer_bytes = 0;
  }
}

/* The bytes of a tensor that is read from the disk. */
static const void *
fill_buffer(GemGguf *self, const GemTensor *tensor, GError **error)
{
  if (tensor->bytes > self->buffer_bytes) {
    g_clear_pointer(&self->buffer, free);
    self->buffer_bytes = 0;
    self->buffer = buffer_new(tensor->bytes);
    if (self->buffer == NULL) {
      g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
      gem_gguf_fail(self, error, GEM_FORMAT_ERROR_IO, field, "no memory for its %" G_GSIZE_FORMAT " bytes",
                    tensor->bytes);
      return NULL;
    }
    self->buffer_bytes = tensor->bytes;
  }
  return gem_file_reader_read(self->reader, tensor->offset, self->buffer, tensor->bytes, error) ? self->buffer
                                                                                                : NULL;
}

const void *
gem_gguf_read_tensor(GemGguf *self, const GemTensor *tensor, GError **error)
{
  const void *data;

  if (self->reader == NULL) {
    data = (const guint8 *)g_bytes_get_data(self->bytes, NULL) + tensor->offset;
    if (self->mapped && self->current != tensor) {
      gem_gguf_release_tensor(self);
      advise(data, tensor->bytes, TRUE, MADV_POPULATE_READ);
    }
  } else if (self->current == tensor) {
    data = self->buffer;
  } else {
    gem_gguf_release_tensor(self);
    data = fill_buffer(self, tensor, error);
  }
  self->current = data != NULL ? tensor : NULL;
  return data;
}

gboolean
gem_gguf_check_unchanged(GemGguf *self, GError **error)
{
  return self->reader == NULL || gem_file_reader_check_unchanged(self->reader, error);
}
