#include "format/gem-gguf-private.h"

#include <sys/mman.h>

#include "format/gem-file.h"

/* Bytes of the head of a file on disk that are read at a time: few of a small head, many of a large one. */
#define LEAST_STEP 8192u
#define MOST_STEP  65536u
/* Of a head, which is kept in memory: vocabularies have a few megabytes. */
#define MOST_HEAD (256u << 20)

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

/* A file whose bytes are there, or, with a reader, will be; takes `bytes` and `reader`. */
static GemGguf *
new_from(GBytes *bytes, GemFileReader *reader, const char *name, GError **error)
{
  g_autoptr(GemGguf) self = g_new0(GemGguf, 1);
  g_atomic_ref_count_init(&self->references);
  self->name = g_strdup(name);
  self->display_name = g_filename_display_name(name);
  self->bytes = bytes;
  self->reader = reader;
  self->loaded = reader == NULL ? g_bytes_get_size(bytes) : 0;
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
gem_gguf_new_from_bytes(GBytes *bytes, const char *name, GError **error)
{
  g_return_val_if_fail(bytes != NULL && name != NULL, NULL);

  return new_from(g_bytes_ref(bytes), NULL, name, error);
}

GemGguf *
gem_gguf_open(const char *path, GError **error)
{
  g_return_val_if_fail(path != NULL, NULL);

  GBytes *bytes = gem_file_map(path, error);
  return bytes != NULL ? new_from(bytes, NULL, path, error) : NULL;
}

/* ---- a file on disk ---- */

typedef struct {
  void *start;
  gsize size;
} Room;

static void
free_room(gpointer data)
{
  Room *room = data;
  munmap(room->start, room->size);
  g_free(room);
}

/* Addresses for a whole file, of which only those take memory that are written: what was read of its head
 * stays where it is however much more is read. */
static GBytes *
reserve_room(guint64 size, const char *name, GError **error)
{
  gsize bytes = size < G_MAXSSIZE ? MAX((gsize)size, 1) : 0;
  void *start = bytes == 0 ? MAP_FAILED
                           : mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) {
    g_autofree char *shown = g_filename_display_name(name);
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO,
                "%s: no room for its %" G_GUINT64_FORMAT " bytes", shown, size);
    return NULL;
  }
  Room *room = g_new(Room, 1);
  *room = (Room){start, bytes};
  return g_bytes_new_with_free_func(start, (gsize)size, free_room, room);
}

GemGguf *
gem_gguf_new_from_reader(GemFileReader *reader, const char *name, GError **error)
{
  g_return_val_if_fail(reader != NULL && name != NULL, NULL);

  GBytes *bytes = reserve_room(gem_file_reader_get_size(reader), name, error);
  return bytes != NULL ? new_from(bytes, gem_file_reader_ref(reader), name, error) : NULL;
}

gboolean
gem_gguf_load_head(GemGguf *self, gsize end, GError **error)
{
  gsize size = 0;
  guint8 *data = (guint8 *)g_bytes_get_data(self->bytes, &size);

  if (end > MOST_HEAD) {
    return gem_gguf_fail(self, error, GEM_FORMAT_ERROR_UNSUPPORTED, "head",
                         "more than %u bytes before the tensors", MOST_HEAD);
  }
  gsize wanted = MIN(size, MAX(end, self->loaded + CLAMP(self->loaded, LEAST_STEP, MOST_STEP)));

  if (!gem_file_reader_read(self->reader, self->loaded, data + self->loaded, wanted - self->loaded, error)) {
    return FALSE;
  }
  self->loaded = wanted;
  return TRUE;
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
  g_clear_pointer(&self->reader, gem_file_reader_unref);
  g_free(self->buffer);
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
