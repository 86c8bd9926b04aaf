/* The values behind the keys, in the types that callers ask for. */
#include "format/gem-gguf-private.h"

#include <math.h>
#include <string.h>

/* Values that are longer become shorter in gem_gguf_key_to_string. */
#define SHOWN_ELEMENTS   8
#define SHOWN_CHARACTERS 200

/* More than any model needs; few enough that a copy of numbers, 8 MiB, is asked for without looking whether
 * there is memory. */
#define MAX_ELEMENTS (1u << 20)

static const struct {
  const char *name;
  gsize size;
} value_types[] = {
    [GGUF_VALUE_UINT8] = {"u8", 1},    [GGUF_VALUE_INT8] = {"i8", 1},    [GGUF_VALUE_UINT16] = {"u16", 2},
    [GGUF_VALUE_INT16] = {"i16", 2},   [GGUF_VALUE_UINT32] = {"u32", 4}, [GGUF_VALUE_INT32] = {"i32", 4},
    [GGUF_VALUE_FLOAT32] = {"f32", 4}, [GGUF_VALUE_BOOL] = {"bool", 1},  [GGUF_VALUE_STRING] = {"string", 0},
    [GGUF_VALUE_ARRAY] = {"array", 0}, [GGUF_VALUE_UINT64] = {"u64", 8}, [GGUF_VALUE_INT64] = {"i64", 8},
    [GGUF_VALUE_FLOAT64] = {"f64", 8},
};

gsize
gem_gguf_value_size(guint32 type)
{
  return type < G_N_ELEMENTS(value_types) ? value_types[type].size : 0;
}

const char *
gem_gguf_value_type_name(guint32 type)
{
  return type < G_N_ELEMENTS(value_types) ? value_types[type].name : "unknown type";
}

static gboolean
type_is_signed(GgufValueType type)
{
  return type == GGUF_VALUE_INT8 || type == GGUF_VALUE_INT16 || type == GGUF_VALUE_INT32 ||
         type == GGUF_VALUE_INT64;
}

static gboolean
type_is_float(GgufValueType type)
{
  return type == GGUF_VALUE_FLOAT32 || type == GGUF_VALUE_FLOAT64;
}

static gboolean
type_is_integer(GgufValueType type)
{
  return type != GGUF_VALUE_BOOL && type != GGUF_VALUE_STRING && !type_is_float(type);
}

/* An integer's or truth value's bits, sign-extended for the signed types. */
static guint64
load_integer(GgufValueType type, const guint8 *data)
{
  switch (type) {
  case GGUF_VALUE_INT8:
    return (guint64)(gint8)data[0];
  case GGUF_VALUE_UINT16:
    return (guint16)(data[0] | data[1] << 8);
  case GGUF_VALUE_INT16:
    return (guint64)(gint16)(data[0] | data[1] << 8);
  case GGUF_VALUE_UINT32:
    return gem_gguf_load_u32(data);
  case GGUF_VALUE_INT32:
    return (guint64)(gint32)gem_gguf_load_u32(data);
  case GGUF_VALUE_UINT64:
  case GGUF_VALUE_INT64:
    return gem_gguf_load_u64(data);
  default:
    return data[0];
  }
}

/* Any number as a double. */
static double
load_number(GgufValueType type, const guint8 *data)
{
  if (type == GGUF_VALUE_FLOAT32) {
    guint32 bits = gem_gguf_load_u32(data);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  if (type == GGUF_VALUE_FLOAT64) {
    guint64 bits = gem_gguf_load_u64(data);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  guint64 bits = load_integer(type, data);
  return type_is_signed(type) ? (double)(gint64)bits : (double)bits;
}

/* A string's bytes; `next` is where the following one starts. */
static const char *
load_string(const guint8 *data, gsize *ret_length, const guint8 **next)
{
  *ret_length = (gsize)gem_gguf_load_u64(data);
  *next = data + 8 + *ret_length;
  return (const char *)data + 8;
}

static gboolean
fail_key(GemGguf *self, const char *key, GError **error, const char *message)
{
  g_autofree char *field = g_strdup_printf("key %s", key);
  return gem_gguf_fail(self, error, GEM_FORMAT_ERROR_MALFORMED, field, "%s", message);
}

static const GgufValue *
find_value(GemGguf *self, const char *key)
{
  gpointer index;
  if (!g_hash_table_lookup_extended(self->value_indices, key, NULL, &index)) {
    return NULL;
  }
  return &g_array_index(self->values, GgufValue, GPOINTER_TO_UINT(index));
}

/* The value behind a key: MISSING, or MALFORMED when an array stands where a scalar should, or the other way
 * round. */
static const GgufValue *
require_value(GemGguf *self, const char *key, gboolean is_array, GError **error)
{
  const GgufValue *value = find_value(self, key);
  if (value == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING, "%s: key %s is missing",
                self->display_name, key);
    return NULL;
  }
  if (value->is_array != is_array) {
    fail_key(self, key, error, is_array ? "not an array" : "an array, not a single value");
    return NULL;
  }
  if (value->count > MAX_ELEMENTS) {
    fail_key(self, key, error, "an array of more than 2^20 elements");
    return NULL;
  }
  return value;
}

gboolean
gem_gguf_get_uint(GemGguf *self, const char *key, guint64 *ret_value, GError **error)
{
  const GgufValue *value = require_value(self, key, FALSE, error);
  if (value == NULL) {
    return FALSE;
  }
  if (!type_is_integer(value->type)) {
    return fail_key(self, key, error, "not an integer");
  }
  guint64 bits = load_integer(value->type, value->data);
  if (type_is_signed(value->type) && (gint64)bits < 0) {
    return fail_key(self, key, error, "negative");
  }
  *ret_value = bits;
  return TRUE;
}

gboolean
gem_gguf_get_float(GemGguf *self, const char *key, double *ret_value, GError **error)
{
  const GgufValue *value = require_value(self, key, FALSE, error);
  if (value == NULL) {
    return FALSE;
  }
  if (!type_is_float(value->type) && !type_is_integer(value->type)) {
    return fail_key(self, key, error, "not a number");
  }
  *ret_value = load_number(value->type, value->data);
  return TRUE;
}

gboolean
gem_gguf_get_bool(GemGguf *self, const char *key, gboolean *ret_value, GError **error)
{
  const GgufValue *value = require_value(self, key, FALSE, error);
  if (value == NULL) {
    return FALSE;
  }
  if (value->type != GGUF_VALUE_BOOL) {
    return fail_key(self, key, error, "not a truth value");
  }
  *ret_value = value->data[0] != 0;
  return TRUE;
}

/* With a NUL behind it. A string may be as long as its file: there may be no memory for another. */
static char *
copy_string(GemGguf *self, const char *key, const char *string, gsize length, GError **error)
{
  char *copy = g_try_malloc(length + 1);
  if (copy == NULL) {
    g_autofree char *message = g_strdup_printf("no memory for a string of %" G_GSIZE_FORMAT " bytes", length);
    fail_key(self, key, error, message);
    return NULL;
  }
  memcpy(copy, string, length);
  copy[length] = '\0';
  return copy;
}

char *
gem_gguf_get_string(GemGguf *self, const char *key, GError **error)
{
  const GgufValue *value = require_value(self, key, FALSE, error);
  if (value == NULL) {
    return NULL;
  }
  if (value->type != GGUF_VALUE_STRING) {
    fail_key(self, key, error, "not a string");
    return NULL;
  }
  gsize length;
  const guint8 *next;
  const char *string = load_string(value->data, &length, &next);
  if (!g_utf8_validate_len(string, length, NULL)) {
    fail_key(self, key, error, "not UTF-8");
    return NULL;
  }
  return copy_string(self, key, string, length, error);
}

GArray *
gem_gguf_get_uint_array(GemGguf *self, const char *key, GError **error)
{
  const GgufValue *value = require_value(self, key, TRUE, error);
  if (value == NULL) {
    return NULL;
  }
  if (!type_is_integer(value->type)) {
    fail_key(self, key, error, "not an array of integers");
    return NULL;
  }
  gsize size = gem_gguf_value_size(value->type);
  g_autoptr(GArray) array = g_array_sized_new(FALSE, FALSE, sizeof(guint64), (guint)value->count);
  for (gsize i = 0; i < value->count; i++) {
    guint64 bits = load_integer(value->type, value->data + i * size);
    if (type_is_signed(value->type) && (gint64)bits < 0) {
      g_autofree char *message = g_strdup_printf("element %" G_GSIZE_FORMAT " is negative", i);
      fail_key(self, key, error, message);
      return NULL;
    }
    g_array_append_val(array, bits);
  }
  return g_steal_pointer(&array);
}

GArray *
gem_gguf_get_float_array(GemGguf *self, const char *key, GError **error)
{
  const GgufValue *value = require_value(self, key, TRUE, error);
  if (value == NULL) {
    return NULL;
  }
  if (!type_is_float(value->type)) {
    fail_key(self, key, error, "not an array of floats");
    return NULL;
  }
  gsize size = gem_gguf_value_size(value->type);
  GArray *array = g_array_sized_new(FALSE, FALSE, sizeof(float), (guint)value->count);
  for (gsize i = 0; i < value->count; i++) {
    float number = (float)load_number(value->type, value->data + i * size);
    g_array_append_val(array, number);
  }
  return array;
}

gboolean
gem_gguf_get_strings(GemGguf *self, const char *key, GemGgufStrings *ret_strings, GError **error)
{
  const GgufValue *value = require_value(self, key, TRUE, error);
  if (value == NULL) {
    return FALSE;
  }
  if (value->type != GGUF_VALUE_STRING) {
    return fail_key(self, key, error, "not an array of strings");
  }
  *ret_strings = (GemGgufStrings){.next = value->data, .left = (guint)value->count};
  return TRUE;
}

gboolean
gem_gguf_strings_next(GemGgufStrings *self, const char **ret_string, gsize *ret_length)
{
  if (self->left == 0) {
    return FALSE;
  }
  *ret_string = load_string(self->next, ret_length, &self->next);
  self->left--;
  return TRUE;
}

GPtrArray *
gem_gguf_get_bytes_array(GemGguf *self, const char *key, GError **error)
{
  GemGgufStrings strings = {0};
  if (!gem_gguf_get_strings(self, key, &strings, error)) {
    return NULL;
  }
  g_autoptr(GPtrArray) array = g_ptr_array_new_full(strings.left, (GDestroyNotify)g_bytes_unref);
  const char *string;
  gsize length;
  while (gem_gguf_strings_next(&strings, &string, &length)) {
    char *copy = copy_string(self, key, string, length, error);
    if (copy == NULL) {
      return NULL;
    }
    g_ptr_array_add(array, g_bytes_new_take(copy, length));
  }
  return g_steal_pointer(&array);
}

GStrv
gem_gguf_get_string_array(GemGguf *self, const char *key, GError **error)
{
  GemGgufStrings strings = {0};
  if (!gem_gguf_get_strings(self, key, &strings, error)) {
    return NULL;
  }
  g_autoptr(GPtrArray) array = g_ptr_array_new_full(strings.left + 1, g_free);
  const char *string;
  gsize length;
  while (gem_gguf_strings_next(&strings, &string, &length)) {
    if (length > 0 && !g_utf8_validate_len(string, length, NULL)) {
      g_autofree char *message = g_strdup_printf("element %u is not UTF-8", array->len);
      fail_key(self, key, error, message);
      return NULL;
    }
    char *copy = copy_string(self, key, string, length, error);
    if (copy == NULL) {
      return NULL;
    }
    g_ptr_array_add(array, copy);
  }
  g_ptr_array_add(array, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&array), FALSE);
}

/* Appends a string with what is no printable UTF-8 escaped, cut after SHOWN_CHARACTERS bytes. */
static void
append_string(GString *text, const char *string, gsize length)
{
  g_autofree char *valid = g_utf8_make_valid(string, (gssize)MIN(length, SHOWN_CHARACTERS));
  g_string_append_c(text, '"');
  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
    gunichar character = g_utf8_get_char(p);
    if (character == '"' || character == '\\') {
      g_string_append_c(text, '\\');
    }
    if (g_unichar_isprint(character)) {
      g_string_append_unichar(text, character);
    } else {
      g_string_append_printf(text, "\\u%04x", character);
    }
  }
  g_string_append_c(text, '"');
  if (length > SHOWN_CHARACTERS) {
    g_string_append_printf(text, "... (%" G_GSIZE_FORMAT " bytes)", length);
  }
}

/* Appends the element at `data`; `next` is where the following one starts. */
static void
append_element(GString *text, GgufValueType type, const guint8 *data, const guint8 **next)
{
  if (type == GGUF_VALUE_STRING) {
    gsize length;
    const char *string = load_string(data, &length, next);
    append_string(text, string, length);
    return;
  }
  *next = data + gem_gguf_value_size(type);
  if (type == GGUF_VALUE_BOOL) {
    g_string_append(text, data[0] ? "true" : "false");
  } else if (type_is_float(type)) {
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append(text,
                    g_ascii_formatd(number, sizeof number, type == GGUF_VALUE_FLOAT32 ? "%.9g" : "%.17g",
                                    load_number(type, data)));
  } else if (type_is_signed(type)) {
    g_string_append_printf(text, "%" G_GINT64_FORMAT, (gint64)load_integer(type, data));
  } else {
    g_string_append_printf(text, "%" G_GUINT64_FORMAT, load_integer(type, data));
  }
}

char *
gem_gguf_key_to_string(GemGguf *self, const char *key)
{
  const GgufValue *value = find_value(self, key);
  g_return_val_if_fail(value != NULL, NULL);

  GString *text = g_string_new(NULL);
  const guint8 *next = value->data;
  if (!value->is_array) {
    append_element(text, value->type, next, &next);
    return g_string_free(text, FALSE);
  }
  g_string_append_c(text, '[');
  for (guint64 i = 0; i < MIN(value->count, SHOWN_ELEMENTS); i++) {
    if (i > 0) {
      g_string_append(text, ", ");
    }
    append_element(text, value->type, next, &next);
  }
  if (value->count > SHOWN_ELEMENTS) {
    g_string_append_printf(text, ", ... (%" G_GUINT64_FORMAT " x %s)", value->count,
                           gem_gguf_value_type_name(value->type));
  }
  g_string_append_c(text, ']');
  return g_string_free(text, FALSE);
}
