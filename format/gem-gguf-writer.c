/* GGUF version 3, little-endian, alignment 32. Keys and tensors stand in the file in the order in which they
 * were set. */
#include "format/gem-gguf-private.h"

#include <math.h>
#include <string.h>

#include "format/gem-file.h"

/* One key: everything after the name, as it stands in the file. */
typedef struct {
  char *key;
  GByteArray *encoded; /* value type, then value */
} WrittenKey;

typedef struct {
  char *name;
  GemType type;
  gsize rows, cols;
  GBytes *data;
} WrittenTensor;

struct _GemGgufWriter {
  GArray *keys;    /* WrittenKey */
  GArray *tensors; /* WrittenTensor */
};

static void
clear_key(gpointer data)
{
  WrittenKey *key = data;
  g_free(key->key);
  g_byte_array_unref(key->encoded);
}

static void
clear_tensor(gpointer data)
{
  WrittenTensor *tensor = data;
  g_free(tensor->name);
  g_bytes_unref(tensor->data);
}

GemGgufWriter *
gem_gguf_writer_new(void)
{
  GemGgufWriter *self = g_new0(GemGgufWriter, 1);
  self->keys = g_array_new(FALSE, FALSE, sizeof(WrittenKey));
  g_array_set_clear_func(self->keys, clear_key);
  self->tensors = g_array_new(FALSE, FALSE, sizeof(WrittenTensor));
  g_array_set_clear_func(self->tensors, clear_tensor);
  return self;
}

void
gem_gguf_writer_free(GemGgufWriter *self)
{
  if (self == NULL) {
    return;
  }
  g_array_unref(self->keys);
  g_array_unref(self->tensors);
  g_free(self);
}

/* ---- encoding ---- */

static void
put_u32(GByteArray *bytes, guint32 value)
{
  guint32 little = GUINT32_TO_LE(value);
  g_byte_array_append(bytes, (const guint8 *)&little, sizeof little);
}

static void
put_u64(GByteArray *bytes, guint64 value)
{
  guint64 little = GUINT64_TO_LE(value);
  g_byte_array_append(bytes, (const guint8 *)&little, sizeof little);
}

static void
put_f32(GByteArray *bytes, float value)
{
  guint32 bits;
  memcpy(&bits, &value, sizeof bits);
  put_u32(bytes, bits);
}

static void
put_string(GByteArray *bytes, const char *string, gsize length)
{
  put_u64(bytes, length);
  if (length > 0) {
    g_byte_array_append(bytes, (const guint8 *)string, (guint)length);
  }
}

/* The place for a key's value, its type already written. A key that was set before gets a new value at its
 * old place. */
static GByteArray *
start_key(GemGgufWriter *self, const char *key, GgufValueType type)
{
  GByteArray *encoded = g_byte_array_new();
  put_u32(encoded, type);
  for (guint i = 0; i < self->keys->len; i++) {
    WrittenKey *old = &g_array_index(self->keys, WrittenKey, i);
    if (strcmp(old->key, key) == 0) {
      g_byte_array_unref(old->encoded);
      old->encoded = encoded;
      return encoded;
    }
  }
  WrittenKey added = {.key = g_strdup(key), .encoded = encoded};
  g_array_append_val(self->keys, added);
  return encoded;
}

static GByteArray *
start_array(GemGgufWriter *self, const char *key, GgufValueType type, gsize n)
{
  GByteArray *bytes = start_key(self, key, GGUF_VALUE_ARRAY);
  put_u32(bytes, type);
  put_u64(bytes, n);
  return bytes;
}

/* ---- keys ---- */

void
gem_gguf_writer_set_uint(GemGgufWriter *self, const char *key, guint32 value)
{
  put_u32(start_key(self, key, GGUF_VALUE_UINT32), value);
}

void
gem_gguf_writer_set_float(GemGgufWriter *self, const char *key, float value)
{
  put_f32(start_key(self, key, GGUF_VALUE_FLOAT32), value);
}

void
gem_gguf_writer_set_bool(GemGgufWriter *self, const char *key, gboolean value)
{
  guint8 byte = value ? 1 : 0;
  g_byte_array_append(start_key(self, key, GGUF_VALUE_BOOL), &byte, 1);
}

void
gem_gguf_writer_set_string(GemGgufWriter *self, const char *key, const char *value)
{
  put_string(start_key(self, key, GGUF_VALUE_STRING), value, strlen(value));
}

void
gem_gguf_writer_set_uint_array(GemGgufWriter *self, const char *key, const guint32 *values, gsize n)
{
  GByteArray *bytes = start_array(self, key, GGUF_VALUE_UINT32, n);
  for (gsize i = 0; i < n; i++) {
    put_u32(bytes, values[i]);
  }
}

void
gem_gguf_writer_set_int_array(GemGgufWriter *self, const char *key, const gint32 *values, gsize n)
{
  GByteArray *bytes = start_array(self, key, GGUF_VALUE_INT32, n);
  for (gsize i = 0; i < n; i++) {
    put_u32(bytes, (guint32)values[i]);
  }
}

void
gem_gguf_writer_set_float_array(GemGgufWriter *self, const char *key, const float *values, gsize n)
{
  GByteArray *bytes = start_array(self, key, GGUF_VALUE_FLOAT32, n);
  for (gsize i = 0; i < n; i++) {
    put_f32(bytes, values[i]);
  }
}

void
gem_gguf_writer_set_bytes_array(GemGgufWriter *self, const char *key, GPtrArray *values)
{
  GByteArray *bytes = start_array(self, key, GGUF_VALUE_STRING, values->len);
  for (guint i = 0; i < values->len; i++) {
    gsize length;
    const char *string = g_bytes_get_data(values->pdata[i], &length);
    put_string(bytes, string, length);
  }
}

void
gem_gguf_writer_set_string_array(GemGgufWriter *self, const char *key, const char *const *values)
{
  gsize n = g_strv_length((GStrv)values);
  GByteArray *bytes = start_array(self, key, GGUF_VALUE_STRING, n);
  for (gsize i = 0; i < n; i++) {
    put_string(bytes, values[i], strlen(values[i]));
  }
}

/* ---- tensors ---- */

static gboolean
fail_tensor(GError **error, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
fail_tensor(GError **error, const char *name, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "tensor %s: %s", name, message);
  return FALSE;
}

/* What the format asks of every tensor; returns its bytes. */
static gboolean
check_tensor(GemGgufWriter *self,
             const char *name,
             GemType type,
             gsize rows,
             gsize cols,
             gsize *ret_bytes,
             GError **error)
{
  gsize length = strlen(name);
  if (length == 0 || length > GGUF_MAX_TENSOR_NAME) {
    return fail_tensor(error, name, "its name has %" G_GSIZE_FORMAT " bytes; 1 to %d are allowed", length,
                       GGUF_MAX_TENSOR_NAME);
  }
  for (guint i = 0; i < self->tensors->len; i++) {
    if (strcmp(g_array_index(self->tensors, WrittenTensor, i).name, name) == 0) {
      return fail_tensor(error, name, "added twice");
    }
  }
  if (rows == 0 || cols == 0) {
    return fail_tensor(error, name, "%" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT " is empty", rows, cols);
  }
  gsize row_bytes = gem_type_row_bytes(type, cols);
  if (row_bytes == 0) {
    return fail_tensor(error, name,
                       "rows of %" G_GSIZE_FORMAT " values are no multiple of %s's block of %" G_GSIZE_FORMAT,
                       cols, gem_type_name(type), gem_type_block_cols(type));
  }
  if (!g_size_checked_mul(ret_bytes, rows, row_bytes)) {
    return fail_tensor(error, name, "its size in bytes overflows");
  }
  return TRUE;
}

/* Whether the value is finite and stays so: all types but F32 hold a half. */
static gboolean
value_fits(float value, GemType type)
{
  return isfinite(value) && (type == GEM_TYPE_F32 || fabsf(value) <= 65504.0f);
}

static void
append_tensor(GemGgufWriter *self, const char *name, GemType type, gsize rows, gsize cols, GBytes *data)
{
  WrittenTensor tensor = {.name = g_strdup(name), .type = type, .rows = rows, .cols = cols, .data = data};
  g_array_append_val(self->tensors, tensor);
}

gboolean
gem_gguf_writer_add_tensor(GemGgufWriter *self,
                           const char *name,
                           GemType type,
                           size_t rows,
                           size_t cols,
                           const float *values,
                           GError **error)
{
  gsize bytes;
  if (!check_tensor(self, name, type, rows, cols, &bytes, error)) {
    return FALSE;
  }
  for (gsize row = 0; row < rows; row++) {
    for (gsize col = 0; col < cols; col++) {
      if (!value_fits(values[row * cols + col], type)) {
        return fail_tensor(error, name,
                           "row %" G_GSIZE_FORMAT ", column %" G_GSIZE_FORMAT " is not finite in %s", row,
                           col, gem_type_name(type));
      }
    }
  }

  gsize row_bytes = gem_type_row_bytes(type, cols);
  guint8 *data = g_malloc(bytes);
  for (gsize row = 0; row < rows; row++) {
    gem_quantize_row(type, values + row * cols, data + row * row_bytes, cols);
  }
  append_tensor(self, name, type, rows, cols, g_bytes_new_take(data, bytes));
  return TRUE;
}

void
gem_gguf_writer_add_tensor_data(
    GemGgufWriter *self, const char *name, GemType type, size_t rows, size_t cols, const void *data)
{
  gsize bytes = 0;
  g_autoptr(GError) error = NULL;
  if (!check_tensor(self, name, type, rows, cols, &bytes, &error)) {
    g_critical("%s", error->message);
    return;
  }
  append_tensor(self, name, type, rows, cols, g_bytes_new(data, bytes));
}

/* ---- the file ---- */

static gsize
padding_after(gsize size)
{
  return (GGUF_DEFAULT_ALIGNMENT - size % GGUF_DEFAULT_ALIGNMENT) % GGUF_DEFAULT_ALIGNMENT;
}

static void
put_padding(GByteArray *bytes)
{
  static const guint8 zeros[GGUF_DEFAULT_ALIGNMENT];
  g_byte_array_append(bytes, zeros, (guint)padding_after(bytes->len));
}

/* Everything before the data section, padded to its start. */
static GBytes *
encode_head(GemGgufWriter *self)
{
  GByteArray *bytes = g_byte_array_new();
  g_byte_array_append(bytes, (const guint8 *)GGUF_MAGIC, 4);
  put_u32(bytes, GGUF_VERSION);
  put_u64(bytes, self->tensors->len);
  put_u64(bytes, self->keys->len);
  for (guint i = 0; i < self->keys->len; i++) {
    const WrittenKey *key = &g_array_index(self->keys, WrittenKey, i);
    put_string(bytes, key->key, strlen(key->key));
    g_byte_array_append(bytes, key->encoded->data, key->encoded->len);
  }

  guint64 offset = 0;
  for (guint i = 0; i < self->tensors->len; i++) {
    const WrittenTensor *tensor = &g_array_index(self->tensors, WrittenTensor, i);
    put_string(bytes, tensor->name, strlen(tensor->name));
    put_u32(bytes, tensor->rows == 1 ? 1 : 2);
    put_u64(bytes, tensor->cols);
    if (tensor->rows != 1) {
      put_u64(bytes, tensor->rows);
    }
    put_u32(bytes, tensor->type);
    put_u64(bytes, offset);
    gsize size = g_bytes_get_size(tensor->data);
    offset += size + padding_after(size);
  }
  put_padding(bytes);
  return g_byte_array_free_to_bytes(bytes);
}

/* The file as parts to be written one after the other (GBytes). */
static GPtrArray *
encode_parts(GemGgufWriter *self)
{
  static const guint8 zeros[GGUF_DEFAULT_ALIGNMENT];
  GPtrArray *parts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add(parts, encode_head(self));
  for (guint i = 0; i < self->tensors->len; i++) {
    GBytes *data = g_array_index(self->tensors, WrittenTensor, i).data;
    g_ptr_array_add(parts, g_bytes_ref(data));
    g_ptr_array_add(parts, g_bytes_new_static(zeros, padding_after(g_bytes_get_size(data))));
  }
  return parts;
}

GBytes *
gem_gguf_writer_to_bytes(GemGgufWriter *self)
{
  g_autoptr(GPtrArray) parts = encode_parts(self);
  gsize size = 0;
  for (guint i = 0; i < parts->len; i++) {
    size += g_bytes_get_size(parts->pdata[i]);
  }

  guint8 *file = g_malloc(size);
  guint8 *end = file;
  for (guint i = 0; i < parts->len; i++) {
    gsize length;
    const guint8 *data = g_bytes_get_data(parts->pdata[i], &length);
    if (length > 0) {
      memcpy(end, data, length);
    }
    end += length;
  }
  return g_bytes_new_take(file, size);
}

gboolean
gem_gguf_writer_write(GemGgufWriter *self, const char *path, GError **error)
{
  g_autoptr(GPtrArray) parts = encode_parts(self);
  return gem_file_replace(path, parts, error);
}
