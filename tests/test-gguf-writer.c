/* The GGUF writer against the reader, against what it must refuse and a full disk; the reader on damaged
 * copies. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <glib/gstdio.h>

#include "format/gem-gguf.h"

static const GemType all_types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q4_0, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K};

/* A small file with every kind of key and tensor that the writer knows. */
static GemGgufWriter *
new_sample(void)
{
  GemGgufWriter *writer = gem_gguf_writer_new();
  gem_gguf_writer_set_uint(writer, "uint", 1);
  gem_gguf_writer_set_float(writer, "float", 0.5f);
  gem_gguf_writer_set_bool(writer, "bool", TRUE);
  gem_gguf_writer_set_string(writer, "string", "caf\xc3\xa9");
  gem_gguf_writer_set_uint(writer, "uint", 4000000000u); /* set again: the last holds */
  gem_gguf_writer_set_uint_array(writer, "uints", (const guint32[]){1, G_MAXUINT32}, 2);
  gem_gguf_writer_set_int_array(writer, "ints", (const gint32[]){3, 6, 1}, 3);
  gem_gguf_writer_set_float_array(writer, "floats", (const float[]){-1.5f, 1e-3f}, 2);
  gem_gguf_writer_set_string_array(writer, "strings", (const char *const[]){"a", "", "b c", NULL});
  g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_ptr_array_add(pieces, g_bytes_new("\0\xff", 2));
  g_ptr_array_add(pieces, g_bytes_new("", 0));
  gem_gguf_writer_set_bytes_array(writer, "pieces", pieces);

  float values[3 * 256];
  for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
    values[i] = sinf((float)i);
  }
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    g_autoptr(GError) error = NULL;
    g_assert_true(gem_gguf_writer_add_tensor(writer, gem_type_name(all_types[t]), all_types[t], 3, 256,
                                             values, &error));
    g_assert_no_error(error);
  }
  g_assert_true(gem_gguf_writer_add_tensor(writer, "vector", GEM_TYPE_F32, 1, 5, values, NULL));
  gem_gguf_writer_add_tensor_data(writer, "copy", GEM_TYPE_F32, 2, 3, values);
  return writer;
}

static void
check_sample_keys(GemGguf *file)
{
  guint64 integer;
  g_assert_true(gem_gguf_get_uint(file, "uint", &integer, NULL));
  g_assert_cmpuint(integer, ==, 4000000000u);
  double number;
  g_assert_true(gem_gguf_get_float(file, "float", &number, NULL));
  g_assert_cmpfloat(number, ==, 0.5);
  gboolean truth;
  g_assert_true(gem_gguf_get_bool(file, "bool", &truth, NULL));
  g_assert_true(truth);
  g_autofree char *string = gem_gguf_get_string(file, "string", NULL);
  g_assert_cmpstr(string, ==, "caf\xc3\xa9");
  g_assert_cmpuint(gem_gguf_n_keys(file), ==, 9);
  g_assert_cmpstr(gem_gguf_key_name(file, 0), ==, "uint");
  g_assert_cmpstr(gem_gguf_key_name(file, 8), ==, "pieces");
  g_assert_true(gem_gguf_has_key(file, "floats"));
  g_assert_false(gem_gguf_has_key(file, "float."));

  g_autoptr(GArray) uints = gem_gguf_get_uint_array(file, "uints", NULL);
  g_assert_cmpuint(uints->len, ==, 2);
  g_assert_cmpuint(g_array_index(uints, guint64, 1), ==, G_MAXUINT32);
  g_autoptr(GArray) ints = gem_gguf_get_uint_array(file, "ints", NULL);
  g_assert_cmpuint(ints->len, ==, 3);
  g_assert_cmpuint(g_array_index(ints, guint64, 1), ==, 6);
  g_autoptr(GArray) floats = gem_gguf_get_float_array(file, "floats", NULL);
  g_assert_cmpfloat(g_array_index(floats, float, 0), ==, -1.5f);
  g_assert_cmpfloat(g_array_index(floats, float, 1), ==, 1e-3f);
  g_auto(GStrv) strings = gem_gguf_get_string_array(file, "strings", NULL);
  g_assert_cmpuint(g_strv_length(strings), ==, 3);
  g_assert_cmpstr(strings[2], ==, "b c");
  g_autoptr(GPtrArray) pieces = gem_gguf_get_bytes_array(file, "pieces", NULL);
  g_assert_cmpmem(g_bytes_get_data(pieces->pdata[0], NULL), g_bytes_get_size(pieces->pdata[0]), "\0\xff", 2);
}

static void
check_sample_tensors(GemGguf *file)
{
  g_assert_cmpuint(gem_gguf_n_tensors(file), ==, 7);
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    const GemTensor *tensor = gem_gguf_tensor(file, (guint)t);
    g_assert_true(tensor == gem_gguf_find_tensor(file, gem_type_name(all_types[t])));
    g_assert_cmpint(tensor->type, ==, all_types[t]);
    g_assert_cmpuint(tensor->rows, ==, 3);
    g_assert_cmpuint(tensor->cols, ==, 256);
    g_assert_cmpuint(tensor->bytes, ==, 3 * gem_type_row_bytes(tensor->type, 256));
    float row[256], expected[256];
    guint8 packed[1024];
    for (int i = 0; i < 256; i++) {
      expected[i] = sinf((float)(512 + i));
    }
    gem_quantize_row(tensor->type, expected, packed, 256);
    gem_dequantize_row(tensor->type, packed, expected, 256);
    const guint8 *data = gem_gguf_read_tensor(file, tensor, NULL);
    gem_dequantize_row(tensor->type, data + 2 * gem_type_row_bytes(tensor->type, 256), row, 256);
    g_assert_cmpmem(row, sizeof row, expected, sizeof expected);
  }
  g_autoptr(GError) error = NULL;
  g_assert_nonnull(gem_gguf_require_tensor(file, "vector", 1, 5, &error));
  g_assert_nonnull(gem_gguf_require_tensor(file, "copy", 2, 3, &error));
  g_assert_no_error(error);
  g_assert_null(gem_gguf_require_tensor(file, "copy", 3, 2, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  g_assert_nonnull(strstr(error->message, "tensor copy: 2 x 3, but 3 x 2"));
  g_clear_error(&error);
  g_assert_null(gem_gguf_require_tensor(file, "no.weight", 3, 2, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_null(gem_gguf_find_tensor(file, "no.weight"));
}

static char *
new_folder(void)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp("gem-gguf-XXXXXX", &error);
  g_assert_no_error(error);
  return folder;
}

static guint
count_entries(const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  guint n = 0;
  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

static void
test_round_trip(void)
{
  g_autoptr(GemGgufWriter) writer = new_sample();
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) memory = gem_gguf_new_from_bytes(bytes, "memory", &error);
  g_assert_no_error(error);
  check_sample_keys(memory);
  check_sample_tensors(memory);

  g_autofree char *folder = new_folder();
  g_autofree char *path = g_build_filename(folder, "sample.gguf", NULL);
  g_assert_true(gem_gguf_writer_write(writer, path, &error));
  g_autoptr(GemGguf) mapped = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(gem_gguf_get_name(mapped), ==, path);
  g_assert_cmpuint(gem_gguf_get_size(mapped), ==, g_bytes_get_size(bytes));
  g_autoptr(GemGguf) second = gem_gguf_ref(mapped);
  g_clear_pointer(&mapped, gem_gguf_unref);
  check_sample_keys(second);
  check_sample_tensors(second);
  g_assert_cmpuint(count_entries(folder), ==, 1);
  g_unlink(path);
  g_rmdir(folder);
}

static void
test_writer_refuses(void)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  float values[64] = {0};
  values[40] = NAN;
  const struct {
    const char *name;
    GemType type;
    gsize rows, cols;
    const char *message;
  } cases[] = {
      {"odd", GEM_TYPE_Q8_0, 1, 31, "tensor odd: rows of 31 values"},
      {"nan", GEM_TYPE_F32, 2, 32, "tensor nan: row 1, column 8 is not finite"},
      {"empty", GEM_TYPE_F32, 0, 32, "tensor empty: 0 x 32"},
      {"", GEM_TYPE_F32, 1, 32, "its name has 0 bytes"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(gem_gguf_writer_add_tensor(writer, cases[i].name, cases[i].type, cases[i].rows,
                                              cases[i].cols, values, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, cases[i].message));
  }
  values[40] = 1e5f;
  g_autoptr(GError) error = NULL;
  g_assert_false(gem_gguf_writer_add_tensor(writer, "huge", GEM_TYPE_F16, 2, 32, values, &error));
  g_assert_nonnull(strstr(error->message, "tensor huge: row 1, column 8"));
  g_clear_error(&error);
  g_assert_true(gem_gguf_writer_add_tensor(writer, "huge", GEM_TYPE_F32, 2, 32, values, &error));
  g_assert_false(gem_gguf_writer_add_tensor(writer, "huge", GEM_TYPE_F32, 2, 32, values, &error));
  g_assert_nonnull(strstr(error->message, "tensor huge: added twice"));
}

/* With no room left the old file stands, nothing is left beside it, and the error names the path. */
static void
test_full_disk(void)
{
  g_autofree char *folder = new_folder();
  g_autofree char *path = g_build_filename(folder, "full.gguf", NULL);
  g_assert_true(g_file_set_contents(path, "old", -1, NULL));

  struct rlimit before;
  g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
  struct rlimit tiny = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
  struct sigaction ignore = {.sa_handler = SIG_IGN}, old_action;
  sigaction(SIGXFSZ, &ignore, &old_action);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &tiny), ==, 0);
  g_autoptr(GemGgufWriter) writer = new_sample();
  g_autoptr(GError) error = NULL;
  gboolean written = gem_gguf_writer_write(writer, path, &error);
  setrlimit(RLIMIT_FSIZE, &before);
  sigaction(SIGXFSZ, &old_action, NULL);

  g_assert_false(written);
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, path));
  g_autofree char *contents = NULL;
  g_assert_true(g_file_get_contents(path, &contents, NULL, NULL));
  g_assert_cmpstr(contents, ==, "old");
  g_assert_cmpuint(count_entries(folder), ==, 1);
  g_unlink(path);
  g_rmdir(folder);
}

/* What is no file is not replaced by one: as root that would be /dev/null, and gone. */
static void
test_no_file(void)
{
  g_autofree char *folder = new_folder();
  g_autofree char *path = g_build_filename(folder, "pipe", NULL);
  GStatBuf status;
  g_assert_cmpint(mkfifo(path, 0600), ==, 0);
  g_autoptr(GemGgufWriter) writer = new_sample();
  g_autoptr(GError) error = NULL;
  g_assert_false(gem_gguf_writer_write(writer, path, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, path));
  g_assert_cmpint(g_lstat(path, &status), ==, 0);
  g_assert_true(S_ISFIFO(status.st_mode));
  g_assert_cmpuint(count_entries(folder), ==, 1);
  /* As /dev/stdout is. */
  g_autofree char *link = g_build_filename(folder, "link", NULL);
  g_assert_cmpint(symlink(path, link), ==, 0);
  g_assert_false(gem_gguf_writer_write(writer, link, NULL));
  g_assert_cmpint(g_lstat(link, &status), ==, 0);
  g_assert_true(S_ISLNK(status.st_mode));
  g_unlink(link);
  g_unlink(path);
  g_rmdir(folder);
}

/* What is no readable file: absent, a folder, a FIFO (which must not make us wait), nothing at all in it. */
static void
test_open_errors(void)
{
  g_autofree char *folder = new_folder();
  g_autofree char *path = g_build_filename(folder, "x.gguf", NULL);
  const GemFormatError codes[] = {GEM_FORMAT_ERROR_MISSING, GEM_FORMAT_ERROR_IO, GEM_FORMAT_ERROR_IO,
                                  GEM_FORMAT_ERROR_MALFORMED};
  for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
    if (i == 1) {
      g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    }
    if (i == 2) {
      g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    }
    if (i == 3) {
      g_assert_true(g_file_set_contents(path, "", 0, NULL));
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(gem_gguf_open(path, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, (gint)codes[i]);
    g_assert_nonnull(strstr(error->message, path));
    g_remove(path);
  }
  g_autofree char *below = g_build_filename(folder, "no", "x.gguf", NULL);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GError) error = NULL;
  g_assert_false(gem_gguf_writer_write(writer, below, &error));
  g_assert_nonnull(strstr(error->message, below));
  g_rmdir(folder);
}

/* ---- damage ---- */

/* Touches everything that a reader can be asked for. */
static void
use_all(GemGguf *file)
{
  for (guint i = 0; i < gem_gguf_n_keys(file); i++) {
    const char *key = gem_gguf_key_name(file, i);
    g_autofree char *shown = gem_gguf_key_to_string(file, key);
    g_autofree char *string = gem_gguf_get_string(file, key, NULL);
    g_autoptr(GArray) integers = gem_gguf_get_uint_array(file, key, NULL);
    g_autoptr(GArray) floats = gem_gguf_get_float_array(file, key, NULL);
    g_auto(GStrv) strings = gem_gguf_get_string_array(file, key, NULL);
    g_assert_nonnull(shown);
  }
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);
    const guint8 *data = gem_gguf_read_tensor(file, tensor, NULL);
    volatile guint8 sink;
    sink = data[0];
    sink = data[tensor->bytes - 1];
    (void)sink;
    g_assert_cmpuint(tensor->bytes, ==, tensor->rows * gem_type_row_bytes(tensor->type, tensor->cols));
  }
}

/* Copies the bytes to memory of exactly their size, so that a sanitizer sees any read beyond. */
static GemGguf *
read_exact(const guint8 *data, gsize size, GError **error)
{
  g_autoptr(GBytes) bytes = g_bytes_new_take(g_memdup2(data, MAX(size, 1)), size);
  return gem_gguf_new_from_bytes(bytes, "damaged", error);
}

/* The sample ends with a tensor: whatever is cut off, something is missing (but for the last padding). */
static void
test_truncated(void)
{
  g_autoptr(GemGgufWriter) writer = new_sample();
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  gsize size;
  const guint8 *data = g_bytes_get_data(bytes, &size);
  for (gsize length = 0; length < size - 8; length++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGguf) file = read_exact(data, length, &error);
    g_assert_null(file);
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
  }
}

static void
test_flipped(void)
{
  g_autoptr(GemGgufWriter) writer = new_sample();
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  gsize size;
  const guint8 *data = g_bytes_get_data(bytes, &size);
  guint head = 1000; /* where the structure is */
  guint refused = 0;
  for (guint i = 0; i < 20000; i++) {
    g_autofree guint8 *copy = g_memdup2(data, size);
    guint flips = (guint)g_test_rand_int_range(1, 4);
    for (guint flip = 0; flip < flips; flip++) {
      copy[g_test_rand_int_range(0, (gint32)(i % 8 == 0 ? size : head))] ^=
          (guint8)(1 << g_test_rand_int_range(0, 8));
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGguf) file = read_exact(copy, size, &error);
    g_assert_true((file == NULL) == (error != NULL));
    if (file != NULL) {
      use_all(file);
    } else {
      g_assert_true(error->domain == GEM_FORMAT_ERROR);
      g_assert_true(g_str_has_prefix(error->message, "damaged: "));
      refused++;
    }
  }
  g_assert_cmpuint(refused, >, 2000);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gguf-writer/round-trip", test_round_trip);
  g_test_add_func("/gguf-writer/refuses", test_writer_refuses);
  g_test_add_func("/gguf-writer/full-disk", test_full_disk);
  g_test_add_func("/gguf-writer/no-file", test_no_file);
  g_test_add_func("/gguf-writer/open-errors", test_open_errors);
  g_test_add_func("/gguf-writer/truncated", test_truncated);
  g_test_add_func("/gguf-writer/flipped", test_flipped);
  return g_test_run();
}
