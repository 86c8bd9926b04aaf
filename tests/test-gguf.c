/* The GGUF reader against crafted files: every field broken in its turn, every type of value. */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "format/gem-gguf.h"

/* ---- crafting ---- */

static void
put_u8(GByteArray *bytes, guint8 value)
{
  g_byte_array_append(bytes, &value, 1);
}

static void
put_u32(GByteArray *bytes, guint32 value)
{
  for (int i = 0; i < 4; i++) {
    put_u8(bytes, (guint8)(value >> (8 * i)));
  }
}

static void
put_u64(GByteArray *bytes, guint64 value)
{
  put_u32(bytes, (guint32)value);
  put_u32(bytes, (guint32)(value >> 32));
}

static void
put_string(GByteArray *bytes, const char *string)
{
  put_u64(bytes, strlen(string));
  g_byte_array_append(bytes, (const guint8 *)string, (guint)strlen(string));
}

static GByteArray *
craft(guint32 version, guint64 n_tensors, guint64 n_keys)
{
  GByteArray *bytes = g_byte_array_new();
  g_byte_array_append(bytes, (const guint8 *)"GGUF", 4);
  put_u32(bytes, version);
  put_u64(bytes, n_tensors);
  put_u64(bytes, n_keys);
  return bytes;
}

static void
put_padding(GByteArray *bytes, guint to)
{
  while (bytes->len < to) {
    put_u8(bytes, 0);
  }
}

/* A tensor entry with one or two dimensions (rows 0: one). */
static void
put_tensor(GByteArray *bytes, const char *name, guint64 cols, guint64 rows, guint32 type, guint64 offset)
{
  put_string(bytes, name);
  put_u32(bytes, rows == 0 ? 1 : 2);
  put_u64(bytes, cols);
  if (rows != 0) {
    put_u64(bytes, rows);
  }
  put_u32(bytes, type);
  put_u64(bytes, offset);
}

/* The same from a file on disk. */
static GemGguf *
read_file(GByteArray *bytes, GError **error)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp("gem-test-XXXXXX", &path, NULL);
  g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, (gssize)bytes->len);
  close(fd);
  g_autoptr(GemFileReader) reader = gem_file_reader_open(path, NULL);
  g_assert_cmpint(g_unlink(path), ==, 0);
  return gem_gguf_new_from_reader(reader, "crafted.gguf", error);
}

/* Reads the bytes from memory; from disk they must be found the same, or wrong in the same words. */
static GemGguf *
read_bytes(GByteArray *bytes, GError **error)
{
  g_autoptr(GBytes) copy = g_bytes_new(bytes->data, bytes->len);
  g_autoptr(GError) local = NULL;
  g_autoptr(GError) other = NULL;
  GemGguf *file = gem_gguf_new_from_bytes(copy, "crafted.gguf", &local);
  g_autoptr(GemGguf) on_disk = read_file(bytes, &other);

  if (file == NULL) {
    g_assert_null(on_disk);
    g_assert_cmpint(local->code, ==, other->code);
    g_assert_cmpstr(local->message, ==, other->message);
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  g_assert_no_error(other);
  g_assert_cmpuint(gem_gguf_n_keys(file), ==, gem_gguf_n_keys(on_disk));
  g_assert_cmpuint(gem_gguf_n_tensors(file), ==, gem_gguf_n_tensors(on_disk));
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i), *same = gem_gguf_tensor(on_disk, i);
    g_assert_cmpmem(gem_gguf_read_tensor(file, tensor, NULL), tensor->bytes,
                    gem_gguf_read_tensor(on_disk, same, NULL), same->bytes);
  }
  return file;
}

/* Takes `bytes`: reading them fails with `code`, naming the file and `field`. */
static void
assert_refused(GByteArray *bytes, GemFormatError code, const char *field)
{
  g_autoptr(GByteArray) owned = bytes;
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = read_bytes(owned, &error);
  g_assert_null(file);
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  if (strstr(error->message, "crafted.gguf: ") == NULL || strstr(error->message, field) == NULL) {
    g_error("'%s' does not name the file and '%s'", error->message, field);
  }
}

/* ---- header ---- */

static void
test_header(void)
{
  GByteArray *bytes = g_byte_array_new();
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "magic");
  bytes = craft(3, 0, 0);
  bytes->data[0] = 'g';
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "not a GGUF file");
  assert_refused(craft(1, 0, 0), GEM_FORMAT_ERROR_UNSUPPORTED, "version: 1");
  assert_refused(craft(4, 0, 0), GEM_FORMAT_ERROR_UNSUPPORTED, "version: 4");
  assert_refused(craft(0x03000000, 0, 0), GEM_FORMAT_ERROR_UNSUPPORTED, "big-endian");
  assert_refused(craft(3, 0, 1), GEM_FORMAT_ERROR_MALFORMED, "key count");
  assert_refused(craft(3, 0, G_MAXUINT64), GEM_FORMAT_ERROR_MALFORMED, "key count");
  assert_refused(craft(3, 1, 0), GEM_FORMAT_ERROR_MALFORMED, "tensor count");
  assert_refused(craft(3, G_MAXUINT64 / 2, 0), GEM_FORMAT_ERROR_MALFORMED, "tensor count");

  /* Counts that the bytes could hold, but that nobody needs. */
  bytes = craft(3, 0, 70000);
  put_padding(bytes, 70000 * 14 + 100);
  assert_refused(bytes, GEM_FORMAT_ERROR_UNSUPPORTED, "key count: 70000");

  for (guint32 version = 2; version <= 3; version++) {
    g_autoptr(GByteArray) empty = craft(version, 0, 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGguf) file = read_bytes(empty, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(gem_gguf_n_keys(file), ==, 0);
    g_assert_cmpuint(gem_gguf_n_tensors(file), ==, 0);
  }
}

/* A key's name or text that lies within the file, and is more than is kept of any: not a byte of it is read.
 * Of a file with a hole, which takes no room. */
static void
test_largest_head(void)
{
  const guint64 most = 256u << 20;
  g_autoptr(GByteArray) bytes = craft(3, 0, 1);
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  put_string(bytes, "general.name");
  put_u32(bytes, 8); /* a text */
  put_u64(bytes, most);
  int fd = g_file_open_tmp("gem-test-XXXXXX", &path, NULL);
  g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, (gssize)bytes->len);
  g_assert_cmpint(ftruncate(fd, (off_t)(2 * most)), ==, 0);
  close(fd);
  g_autoptr(GemFileReader) reader = gem_file_reader_open(path, NULL);
  g_assert_cmpint(g_unlink(path), ==, 0);
  g_assert_null(gem_gguf_new_from_reader(reader, "crafted.gguf", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED);
  g_assert_cmpstr(error->message, ==, "crafted.gguf: head: more than 268435456 bytes before the tensors");
}

/* ---- keys ---- */

/* A file of one key `name`, its type already written. */
static GByteArray *
craft_key(const char *name, guint32 type)
{
  GByteArray *bytes = craft(3, 0, 1);
  put_string(bytes, name);
  put_u32(bytes, type);
  return bytes;
}

static void
test_key_names(void)
{
  GByteArray *bytes = craft(3, 0, 1);
  put_u64(bytes, 1000);
  put_padding(bytes, 60);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0");

  bytes = craft(3, 0, 1);
  put_u64(bytes, G_MAXUINT64);
  put_padding(bytes, 60);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0");

  bytes = craft_key("", 0);
  put_padding(bytes, 60);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0: 0 bytes long");

  bytes = craft_key("bad\xff", 0);
  put_u32(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0: not UTF-8");

  /* They would be lines to the service manager, and orders to a terminal. */
  bytes = craft_key("x\nWATCHDOG=trigger\n", 0);
  put_u32(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0: a control character at byte 1");
  bytes = craft_key("\xc3\xa9\xc2\x9b"
                    "2J",
                    0);
  put_u32(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0: a control character at byte 2");

  g_autofree char *endless = g_strnfill(65536, 'k');
  bytes = craft_key(endless, 0);
  put_u32(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of key 0: 65536 bytes long");

  bytes = craft(3, 0, 2);
  for (int i = 0; i < 2; i++) {
    put_string(bytes, "twin");
    put_u32(bytes, 4);
    put_u32(bytes, 1);
  }
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key twin: given twice");
}

static void
test_key_values(void)
{
  GByteArray *bytes = craft_key("odd", 13);
  put_u64(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key odd: unknown value type 13");

  bytes = craft_key("short", 10);
  put_u32(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key short");

  bytes = craft_key("truth", 7);
  put_u8(bytes, 2);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key truth: truth value 2");

  bytes = craft_key("text", 8);
  put_u64(bytes, G_MAXUINT64 - 4);
  put_u64(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key text");
}

static void
test_key_arrays(void)
{
  GByteArray *bytes = craft_key("nested", 9);
  put_u32(bytes, 9);
  put_u64(bytes, 1);
  put_u64(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_UNSUPPORTED, "key nested: an array of arrays");

  bytes = craft_key("odd", 9);
  put_u32(bytes, 77);
  put_u64(bytes, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key odd: unknown value type 77");

  bytes = craft_key("wide", 9);
  put_u32(bytes, 10);
  put_u64(bytes, G_MAXUINT64 / 4);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key wide: its 4611686018427387903 elements overflow");

  bytes = craft_key("long", 9);
  put_u32(bytes, 0);
  put_u64(bytes, 1000);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key long: 1000 bytes");

  bytes = craft_key("strings", 9);
  put_u32(bytes, 8);
  put_u64(bytes, G_MAXUINT64);
  put_string(bytes, "one");
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key strings");

  bytes = craft_key("truths", 9);
  put_u32(bytes, 7);
  put_u64(bytes, 3);
  put_u8(bytes, 1);
  put_u8(bytes, 0);
  put_u8(bytes, 3);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "key truths: truth value 3");
}

/* ---- tensors ---- */

/* Takes an entry's fields; the data section has 128 bytes. */
static void
assert_tensor_refused(
    guint64 cols, guint64 rows, guint32 type, guint64 offset, GemFormatError code, const char *message)
{
  GByteArray *bytes = craft(3, 1, 0);
  put_tensor(bytes, "t", cols, rows, type, offset);
  put_padding(bytes, (bytes->len + 31) / 32 * 32 + 128);
  assert_refused(bytes, code, message);
}

static void
test_tensor_fields(void)
{
  assert_tensor_refused(0, 0, 0, 0, GEM_FORMAT_ERROR_MALFORMED, "tensor t: dimension 0 is 0");
  assert_tensor_refused(8, 0, 3, 0, GEM_FORMAT_ERROR_UNSUPPORTED, "tensor t: type 3");
  assert_tensor_refused(8, 0, G_MAXUINT32, 0, GEM_FORMAT_ERROR_UNSUPPORTED, "tensor t: type 4294967295");
  assert_tensor_refused(33, 0, GEM_TYPE_Q4_0, 0, GEM_FORMAT_ERROR_MALFORMED, "block of 32");
  assert_tensor_refused(128, 2, GEM_TYPE_Q6_K, 0, GEM_FORMAT_ERROR_MALFORMED, "block of 256");
  assert_tensor_refused(8, 0, 0, 4, GEM_FORMAT_ERROR_MALFORMED, "tensor t: offset 4 is no multiple");
  assert_tensor_refused(8, 0, 0, 128, GEM_FORMAT_ERROR_MALFORMED, "only 128");
  assert_tensor_refused(8, 0, 0, G_MAXUINT64 - 31, GEM_FORMAT_ERROR_MALFORMED,
                        "tensor t: 32 bytes at offset");
  assert_tensor_refused(33, 0, 0, 0, GEM_FORMAT_ERROR_MALFORMED, "tensor t: 132 bytes");
  assert_tensor_refused(G_GUINT64_CONSTANT(1) << 33, G_GUINT64_CONSTANT(1) << 33, 0, 0,
                        GEM_FORMAT_ERROR_MALFORMED, "overflows");
  assert_tensor_refused(G_MAXUINT64, 0, 0, 0, GEM_FORMAT_ERROR_MALFORMED, "overflows");
}

static void
test_tensor_entries(void)
{
  GByteArray *bytes = craft(3, 1, 0);
  put_string(bytes, "many");
  put_u32(bytes, 5);
  put_padding(bytes, 200);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "tensor many: 5 dimensions");

  bytes = craft(3, 1, 0);
  put_string(bytes, "none");
  put_u32(bytes, 0);
  put_padding(bytes, 200);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "tensor none: 0 dimensions");

  bytes = craft(3, 1, 0);
  put_string(bytes, "cube");
  put_u32(bytes, 4);
  put_u64(bytes, 4);
  for (int i = 0; i < 3; i++) {
    put_u64(bytes, G_GUINT64_CONSTANT(1) << 22);
  }
  put_padding(bytes, 200);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "tensor cube: the product of its dimensions overflows");

  g_autofree char *endless = g_strnfill(65, 'n');
  bytes = craft(3, 1, 0);
  put_tensor(bytes, endless, 8, 0, 0, 0);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "name of tensor 0: 65 bytes long");

  bytes = craft(3, 2, 0);
  put_tensor(bytes, "twin", 8, 0, 0, 0);
  put_tensor(bytes, "twin", 8, 0, 0, 32);
  put_padding(bytes, 128 + 64);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "tensor twin: given twice");

  bytes = craft(3, 2, 0);
  put_tensor(bytes, "late", 8, 0, 0, 32);
  put_tensor(bytes, "long", 9, 0, 0, 0);
  put_padding(bytes, 128 + 64);
  assert_refused(bytes, GEM_FORMAT_ERROR_MALFORMED, "tensor late: its data overlap those of tensor long");
}

/* A file with the given general.alignment and one tensor of 8 floats; its data would start at 256. */
static GByteArray *
craft_aligned(guint32 type, guint32 alignment)
{
  GByteArray *bytes = craft(3, 1, 1);
  put_string(bytes, "general.alignment");
  put_u32(bytes, type);
  put_u32(bytes, alignment);
  put_tensor(bytes, "t", 8, 0, 0, 0);
  put_padding(bytes, 256 + 32);
  return bytes;
}

static void
test_alignment(void)
{
  const char *field = "key general.alignment";
  assert_refused(craft_aligned(4, 0), GEM_FORMAT_ERROR_MALFORMED, field);
  assert_refused(craft_aligned(4, 48), GEM_FORMAT_ERROR_MALFORMED, field);
  assert_refused(craft_aligned(5, (guint32)-32), GEM_FORMAT_ERROR_MALFORMED, field);
  assert_refused(craft_aligned(6, 0x42000000), GEM_FORMAT_ERROR_MALFORMED, field); /* 32.0 */
  assert_refused(craft_aligned(4, 1u << 31), GEM_FORMAT_ERROR_MALFORMED, "tensor t");

  g_autoptr(GByteArray) good = craft_aligned(4, 256);
  good->data[256 + 3] = 0x40; /* 2.0 */
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = read_bytes(good, &error);
  g_assert_no_error(error);
  float first;
  memcpy(&first, gem_gguf_read_tensor(file, gem_gguf_find_tensor(file, "t"), NULL), sizeof first);
  g_assert_cmpfloat(first, ==, 2.0f);
}

/* ---- values ---- */

/* One key of each type, in the order of the types' ids, then arrays. */
static GemGguf *
read_typed(void)
{
  const guint8 widths[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  g_autoptr(GByteArray) bytes = craft(2, 0, 14);
  for (guint32 type = 0; type < 13; type++) {
    if (widths[type] == 0) {
      continue;
    }
    g_autofree char *key = g_strdup_printf("minus.%u", type);
    put_string(bytes, key);
    put_u32(bytes, type);
    for (guint8 i = 0; i < widths[type]; i++) {
      put_u8(bytes, type == 7 ? 1 : type == 6 || type == 12 ? (i >= widths[type] - 2 ? 0x40 : 0) : 0xff);
    }
  }
  put_string(bytes, "bytes");
  put_u32(bytes, 8);
  put_string(bytes, "\xff\xfe");
  put_string(bytes, "signed");
  put_u32(bytes, 9);
  put_u32(bytes, 3);
  put_u64(bytes, 2);
  put_u32(bytes, 0xffff0007); /* 7, -1 */
  put_string(bytes, "strings");
  put_u32(bytes, 9);
  put_u32(bytes, 8);
  put_u64(bytes, 2);
  put_string(bytes, "");
  put_string(bytes, "\xe2\x96");

  g_autoptr(GError) error = NULL;
  GemGguf *file = read_bytes(bytes, &error);
  g_assert_no_error(error);
  return file;
}

static void
test_values_scalars(void)
{
  g_autoptr(GemGguf) file = read_typed();
  g_autoptr(GError) error = NULL;
  guint64 integer = 5;
  const struct {
    const char *key;
    guint64 value;
  } unsigned_keys[] = {
      {"minus.0", 0xff}, {"minus.2", 0xffff}, {"minus.4", 0xffffffff}, {"minus.10", G_MAXUINT64}};
  for (gsize i = 0; i < G_N_ELEMENTS(unsigned_keys); i++) {
    g_assert_true(gem_gguf_get_uint(file, unsigned_keys[i].key, &integer, NULL));
    g_assert_cmpuint(integer, ==, unsigned_keys[i].value);
  }
  integer = 5;
  const char *refused[] = {"minus.1", "minus.3", "minus.5", "minus.11",
                           "minus.6", "minus.7", "bytes",   "signed"};
  for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
    g_assert_false(gem_gguf_get_uint(file, refused[i], &integer, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
    g_assert_nonnull(strstr(error->message, refused[i]));
    g_clear_error(&error);
    g_assert_cmpuint(integer, ==, 5);
  }
  g_assert_false(gem_gguf_get_uint(file, "absent", &integer, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_clear_error(&error);

  double number;
  g_assert_true(gem_gguf_get_float(file, "minus.6", &number, NULL));
  g_assert_cmpfloat(number, ==, 3.0); /* bytes 00 00 40 40 */
  g_assert_true(gem_gguf_get_float(file, "minus.11", &number, NULL));
  g_assert_cmpfloat(number, ==, -1.0);
  g_assert_false(gem_gguf_get_float(file, "bytes", &number, NULL));

  gboolean truth = FALSE;
  g_assert_true(gem_gguf_get_bool(file, "minus.7", &truth, NULL));
  g_assert_true(truth);
  g_assert_false(gem_gguf_get_bool(file, "minus.0", &truth, NULL));
  g_assert_null(gem_gguf_get_string(file, "bytes", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
}

static void
test_values_arrays(void)
{
  g_autoptr(GemGguf) file = read_typed();
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_gguf_get_uint_array(file, "signed", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
  g_assert_nonnull(strstr(error->message, "element 1 is negative"));
  g_clear_error(&error);
  g_assert_null(gem_gguf_get_uint_array(file, "minus.4", NULL));
  g_assert_null(gem_gguf_get_float_array(file, "signed", NULL));
  g_assert_null(gem_gguf_get_bytes_array(file, "signed", NULL));
  g_assert_null(gem_gguf_get_string_array(file, "strings", &error));
  g_assert_nonnull(strstr(error->message, "element 1 is not UTF-8"));

  g_autoptr(GPtrArray) strings = gem_gguf_get_bytes_array(file, "strings", NULL);
  g_assert_cmpuint(strings->len, ==, 2);
  g_assert_cmpuint(g_bytes_get_size(strings->pdata[0]), ==, 0);
  g_assert_cmpmem(g_bytes_get_data(strings->pdata[1], NULL), g_bytes_get_size(strings->pdata[1]), "\xe2\x96",
                  2);
}

static void
test_values_shown(void)
{
  g_autoptr(GemGguf) file = read_typed();
  const char *expected[][2] = {
      {"minus.0", "255"},
      {"minus.11", "-1"},
      {"minus.7", "true"},
      {"signed", "[7, -1]"},
      {"strings", "[\"\", \"\xef\xbf\xbd\xef\xbf\xbd\"]"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
    g_autofree char *shown = gem_gguf_key_to_string(file, expected[i][0]);
    g_assert_cmpstr(shown, ==, expected[i][1]);
  }

  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  guint32 values[100] = {1, 2, 3};
  gem_gguf_writer_set_uint_array(writer, "long", values, 100);
  gem_gguf_writer_set_string(writer, "escape", "a\n\x1b\"b");
  gem_gguf_writer_set_float(writer, "tenth", 0.1f);
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  g_autoptr(GemGguf) written = gem_gguf_new_from_bytes(bytes, "written", NULL);
  g_autofree char *array = gem_gguf_key_to_string(written, "long");
  g_assert_cmpstr(array, ==, "[1, 2, 3, 0, 0, 0, 0, 0, ... (100 x u32)]");
  g_autofree char *escaped = gem_gguf_key_to_string(written, "escape");
  g_assert_cmpstr(escaped, ==, "\"a\\u000a\\u001b\\\"b\"");
  g_autofree char *tenth = gem_gguf_key_to_string(written, "tenth");
  g_assert_cmpstr(tenth, ==, "0.100000001");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gguf/header", test_header);
  g_test_add_func("/gguf/largest-head", test_largest_head);
  g_test_add_func("/gguf/key/names", test_key_names);
  g_test_add_func("/gguf/key/values", test_key_values);
  g_test_add_func("/gguf/key/arrays", test_key_arrays);
  g_test_add_func("/gguf/tensor/fields", test_tensor_fields);
  g_test_add_func("/gguf/tensor/entries", test_tensor_entries);
  g_test_add_func("/gguf/alignment", test_alignment);
  g_test_add_func("/gguf/values/scalars", test_values_scalars);
  g_test_add_func("/gguf/values/arrays", test_values_arrays);
  g_test_add_func("/gguf/values/shown", test_values_shown);
  return g_test_run();
}
