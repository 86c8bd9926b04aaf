/*
 * From the bytes of a GGUF file to its table of keys and tensors. Nothing is believed: each length is held
 * against the bytes that are left before it is used, and each count before anything is allocated for it.
 */
#include "format/gem-gguf-private.h"

#include <string.h>

/* More than any model needs; they bound what a made-up header can make us allocate. */
#define MAX_KEYS    65536
#define MAX_TENSORS 1048576

/* The fewest bytes that a key (name length, one letter, type, one byte) and a tensor (name length, one
 * letter, dimension count, one dimension, type, offset) can take. */
#define LEAST_KEY_BYTES    (8 + 1 + 4 + 1)
#define LEAST_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

typedef struct {
  GemGguf *file;
  const guint8 *data;
  gsize size;
  gsize offset; /* <= size */
} Cursor;

static gboolean
take(Cursor *cursor, guint64 bytes, const char *field, const guint8 **ret_data, GError **error)
{
  gsize left = cursor->size - cursor->offset;
  if (bytes > left) {
    gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                  "%" G_GUINT64_FORMAT " bytes at offset %" G_GSIZE_FORMAT
                  ", but the file has only %" G_GSIZE_FORMAT " left",
                  bytes, cursor->offset, left);
    return FALSE;
  }
  gsize end = cursor->offset + (gsize)bytes;
  if (end > cursor->file->loaded && !gem_gguf_load_head(cursor->file, end, error)) {
    return FALSE;
  }
  *ret_data = cursor->data + cursor->offset;
  cursor->offset = end;
  return TRUE;
}

static gboolean
take_u32(Cursor *cursor, const char *field, guint32 *ret_value, GError **error)
{
  const guint8 *data = NULL;
  if (!take(cursor, 4, field, &data, error)) {
    return FALSE;
  }
  *ret_value = gem_gguf_load_u32(data);
  return TRUE;
}

static gboolean
take_u64(Cursor *cursor, const char *field, guint64 *ret_value, GError **error)
{
  const guint8 *data = NULL;
  if (!take(cursor, 8, field, &data, error)) {
    return FALSE;
  }
  *ret_value = gem_gguf_load_u64(data);
  return TRUE;
}

/* A string of the file: 64-bit length, then bytes without a terminator. */
static gboolean
take_string(Cursor *cursor, const char *field, const char **ret_string, gsize *ret_length, GError **error)
{
  guint64 length = 0;
  const guint8 *data = NULL;
  if (!take_u64(cursor, field, &length, error) || !take(cursor, length, field, &data, error)) {
    return FALSE;
  }
  *ret_string = (const char *)data;
  *ret_length = (gsize)length;
  return TRUE;
}

/* Length in bytes of what stands before the first control character; `length`: there is none. */
static gsize
find_control(const char *string, gsize length)
{
  const char *p = string;

  while (p < string + length && !g_unichar_iscntrl(g_utf8_get_char(p))) {
    p = g_utf8_next_char(p);
  }
  return (gsize)(p - string);
}

/* A key or a tensor's name: 1 .. max bytes of UTF-8 without control characters, since messages quote it and
 * these reach terminals and the service manager. Transfer full; NULL on error. */
static char *
take_name(Cursor *cursor, const char *field, gsize max, GError **error)
{
  const char *string = NULL;
  gsize length = 0;
  if (!take_string(cursor, field, &string, &length, error)) {
    return NULL;
  }
  if (length == 0 || length > max) {
    gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                  "%" G_GSIZE_FORMAT " bytes long; 1 to %" G_GSIZE_FORMAT " are allowed", length, max);
    return NULL;
  }
  if (!g_utf8_validate_len(string, length, NULL)) {
    gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field, "not UTF-8");
    return NULL;
  }
  if (find_control(string, length) < length) {
    gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                  "a control character at byte %" G_GSIZE_FORMAT, find_control(string, length));
    return NULL;
  }
  return g_strndup(string, length);
}

/* Steps over `count` values of a type that is known, seeing that all lie inside the file. */
static gboolean
skip_values(Cursor *cursor, GgufValueType type, guint64 count, const char *field, GError **error)
{
  if (type == GGUF_VALUE_STRING) {
    for (guint64 i = 0; i < count; i++) {
      const char *string;
      gsize length;
      if (!take_string(cursor, field, &string, &length, error)) {
        return FALSE;
      }
    }
    return TRUE;
  }

  guint64 bytes;
  const guint8 *data = NULL;
  if (!g_uint64_checked_mul(&bytes, count, gem_gguf_value_size(type))) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                         "its %" G_GUINT64_FORMAT " elements overflow", count);
  }
  if (!take(cursor, bytes, field, &data, error)) {
    return FALSE;
  }
  for (guint64 i = 0; type == GGUF_VALUE_BOOL && i < count; i++) {
    if (data[i] > 1) {
      return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "truth value %u; 0 and 1 are allowed", data[i]);
    }
  }
  return TRUE;
}

static gboolean
parse_value(Cursor *cursor, const char *field, GgufValue *value, GError **error)
{
  guint32 type = 0;
  if (!take_u32(cursor, field, &type, error)) {
    return FALSE;
  }
  if (type == GGUF_VALUE_ARRAY) {
    value->is_array = TRUE;
    if (!take_u32(cursor, field, &type, error) || !take_u64(cursor, field, &value->count, error)) {
      return FALSE;
    }
    if (type == GGUF_VALUE_ARRAY) {
      return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_UNSUPPORTED, field, "an array of arrays");
    }
  } else {
    value->is_array = FALSE;
    value->count = 1;
  }
  if (type != GGUF_VALUE_STRING && gem_gguf_value_size(type) == 0) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field, "unknown value type %u",
                         type);
  }
  value->type = (GgufValueType)type;
  value->data = cursor->data + cursor->offset;
  return skip_values(cursor, value->type, value->count, field, error);
}

static gboolean
parse_key(Cursor *cursor, guint64 index, GError **error)
{
  GemGguf *file = cursor->file;
  g_autofree char *name_field = g_strdup_printf("name of key %" G_GUINT64_FORMAT, index);
  g_autofree char *key = take_name(cursor, name_field, GGUF_MAX_KEY_BYTES, error);
  if (key == NULL) {
    return FALSE;
  }
  g_autofree char *field = g_strdup_printf("key %s", key);
  if (g_hash_table_contains(file->value_indices, key)) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field, "given twice");
  }

  GgufValue value = {0};
  if (!parse_value(cursor, field, &value, error)) {
    return FALSE;
  }
  value.key = g_steal_pointer(&key);
  g_hash_table_insert(file->value_indices, value.key, GUINT_TO_POINTER(file->values->len));
  g_array_append_val(file->values, value);
  return TRUE;
}

/* Reads the dimensions; rows is the product of all but the first. */
static gboolean
parse_dimensions(Cursor *cursor, const char *field, GemTensor *tensor, GError **error)
{
  guint32 n_dimensions = 0;
  if (!take_u32(cursor, field, &n_dimensions, error)) {
    return FALSE;
  }
  if (n_dimensions < 1 || n_dimensions > GGUF_MAX_DIMENSIONS) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                         "%u dimensions; 1 to %d are allowed", n_dimensions, GGUF_MAX_DIMENSIONS);
  }
  tensor->rows = 1;
  for (guint32 i = 0; i < n_dimensions; i++) {
    guint64 dimension = 0;
    if (!take_u64(cursor, field, &dimension, error)) {
      return FALSE;
    }
    if (dimension == 0) {
      return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field, "dimension %u is 0", i);
    }
    if (dimension > G_MAXSIZE ||
        (i > 0 && !g_size_checked_mul(&tensor->rows, tensor->rows, (gsize)dimension))) {
      return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "the product of its dimensions overflows");
    }
    if (i == 0) {
      tensor->cols = (gsize)dimension;
    }
  }
  return TRUE;
}

/* Reads the type and computes the bytes. */
static gboolean
parse_type(Cursor *cursor, const char *field, GemTensor *tensor, GError **error)
{
  guint32 type = 0;
  if (!take_u32(cursor, field, &type, error)) {
    return FALSE;
  }
  if (!gem_type_is_known(type)) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_UNSUPPORTED, field,
                         "type %u; F32, F16, Q4_0, Q8_0 and Q6_K are known here", type);
  }
  tensor->type = (GemType)type;
  if (tensor->cols % gem_type_block_cols(tensor->type) != 0) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                         "rows of %" G_GSIZE_FORMAT
                         " values are no multiple of %s's block of %" G_GSIZE_FORMAT,
                         tensor->cols, gem_type_name(type), gem_type_block_cols(tensor->type));
  }
  gsize row_bytes = gem_type_row_bytes(tensor->type, tensor->cols);
  if (row_bytes == 0 || !g_size_checked_mul(&tensor->bytes, tensor->rows, row_bytes)) {
    return gem_gguf_fail(cursor->file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                         "its size in bytes overflows");
  }
  return TRUE;
}

/* Reads one tensor's entry. Where the data section starts is known only after the last: until then its offset
 * stands in `offsets`. */
static gboolean
parse_tensor(Cursor *cursor, guint64 index, GArray *offsets, GError **error)
{
  GemGguf *file = cursor->file;
  g_autofree char *name_field = g_strdup_printf("name of tensor %" G_GUINT64_FORMAT, index);
  g_autofree char *name = take_name(cursor, name_field, GGUF_MAX_TENSOR_NAME, error);
  if (name == NULL) {
    return FALSE;
  }
  g_autofree char *field = g_strdup_printf("tensor %s", name);
  if (g_hash_table_contains(file->tensor_indices, name)) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field, "given twice");
  }

  GemTensor tensor = {0};
  guint64 offset = 0;
  if (!parse_dimensions(cursor, field, &tensor, error) || !parse_type(cursor, field, &tensor, error) ||
      !take_u64(cursor, field, &offset, error)) {
    return FALSE;
  }
  tensor.name = g_steal_pointer(&name);
  g_hash_table_insert(file->tensor_indices, (gpointer)tensor.name, GUINT_TO_POINTER(file->tensors->len));
  g_array_append_val(file->tensors, tensor);
  g_array_append_val(offsets, offset);
  return TRUE;
}

static gboolean
parse_alignment(GemGguf *file, guint64 *ret_alignment, GError **error)
{
  const char *key = "general.alignment";
  guint64 alignment = GGUF_DEFAULT_ALIGNMENT;
  if (gem_gguf_has_key(file, key) && !gem_gguf_get_uint(file, key, &alignment, error)) {
    return FALSE;
  }
  if (alignment == 0 || alignment > G_MAXUINT32 || (alignment & (alignment - 1)) != 0) {
    gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, "key general.alignment",
                  "%" G_GUINT64_FORMAT " is no power of two up to 2^31", alignment);
    return FALSE;
  }
  *ret_alignment = alignment;
  return TRUE;
}

static gint
compare_by_offset(gconstpointer a, gconstpointer b)
{
  guint64 first = (*(const GemTensor *const *)a)->offset, second = (*(const GemTensor *const *)b)->offset;
  return first < second ? -1 : first > second;
}

static gboolean
check_overlap(GemGguf *file, GError **error)
{
  guint n = file->tensors->len;
  g_autoptr(GPtrArray) ordered = g_ptr_array_sized_new(n);
  for (guint i = 0; i < n; i++) {
    g_ptr_array_add(ordered, &g_array_index(file->tensors, GemTensor, i));
  }
  g_ptr_array_sort(ordered, compare_by_offset);
  for (guint i = 1; i < n; i++) {
    const GemTensor *before = ordered->pdata[i - 1];
    const GemTensor *tensor = ordered->pdata[i];
    if (before->offset + before->bytes > tensor->offset) {
      g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
      return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "its data overlap those of tensor %s", before->name);
    }
  }
  return TRUE;
}

/* Turns offsets into those of the whole file: each aligned and, with its bytes, inside the data section,
 * which starts at the next multiple of the alignment. */
static gboolean
place_tensors(Cursor *cursor, GArray *offsets, GError **error)
{
  GemGguf *file = cursor->file;
  guint64 alignment = 0;
  if (!parse_alignment(file, &alignment, error)) {
    return FALSE;
  }
  guint64 start = ((guint64)cursor->offset + alignment - 1) / alignment * alignment;
  guint64 section = start < cursor->size ? cursor->size - start : 0;

  for (guint i = 0; i < offsets->len; i++) {
    GemTensor *tensor = &g_array_index(file->tensors, GemTensor, i);
    guint64 offset = g_array_index(offsets, guint64, i);
    g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
    if (offset % alignment != 0) {
      return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "offset %" G_GUINT64_FORMAT " is no multiple of the alignment %" G_GUINT64_FORMAT,
                           offset, alignment);
    }
    if (offset > section || tensor->bytes > section - offset) {
      return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                           "%" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                           ", but the data section has only %" G_GUINT64_FORMAT,
                           tensor->bytes, offset, section);
    }
    tensor->offset = start + offset;
  }
  return check_overlap(file, error);
}

/* Magic, version, and the two counts. */
static gboolean
parse_header(Cursor *cursor, guint64 *ret_tensors, guint64 *ret_keys, GError **error)
{
  GemGguf *file = cursor->file;
  const guint8 *magic = NULL;
  guint32 version = 0;
  if (!take(cursor, 4, "magic", &magic, error)) {
    return FALSE;
  }
  if (memcmp(magic, GGUF_MAGIC, 4) != 0) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, "magic", "not a GGUF file");
  }
  if (!take_u32(cursor, "version", &version, error)) {
    return FALSE;
  }
  if (version != 2 && version != 3) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, "version", "%u%s; 2 and 3 are known here",
                         version, version != 0 && (version & 0xffff) == 0 ? " (a big-endian file)" : "");
  }

  guint64 n_tensors = 0, n_keys = 0;
  if (!take_u64(cursor, "tensor count", &n_tensors, error) ||
      !take_u64(cursor, "key count", &n_keys, error)) {
    return FALSE;
  }
  gsize left = cursor->size - cursor->offset;
  if (n_keys > left / LEAST_KEY_BYTES) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, "key count",
                         "%" G_GUINT64_FORMAT " keys cannot stand in %" G_GSIZE_FORMAT " bytes", n_keys,
                         left);
  }
  if (n_tensors > left / LEAST_TENSOR_BYTES) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, "tensor count",
                         "%" G_GUINT64_FORMAT " tensors cannot stand in %" G_GSIZE_FORMAT " bytes", n_tensors,
                         left);
  }
  if (n_keys > MAX_KEYS) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, "key count",
                         "%" G_GUINT64_FORMAT "; at most %d are read", n_keys, MAX_KEYS);
  }
  if (n_tensors > MAX_TENSORS) {
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, "tensor count",
                         "%" G_GUINT64_FORMAT "; at most %d are read", n_tensors, MAX_TENSORS);
  }
  *ret_tensors = n_tensors;
  *ret_keys = n_keys;
  return TRUE;
}

gboolean
gem_gguf_parse(GemGguf *self, GError **error)
{
  Cursor cursor = {.file = self};
  cursor.data = g_bytes_get_data(self->bytes, &cursor.size);

  guint64 n_tensors = 0, n_keys = 0;
  if (!parse_header(&cursor, &n_tensors, &n_keys, error)) {
    return FALSE;
  }
  for (guint64 i = 0; i < n_keys; i++) {
    if (!parse_key(&cursor, i, error)) {
      return FALSE;
    }
  }
  g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint64));
  for (guint64 i = 0; i < n_tensors; i++) {
    if (!parse_tensor(&cursor, i, offsets, error)) {
      return FALSE;
    }
  }
  return place_tensors(&cursor, offsets, error);
}
