/* Files of learned domains: what is written is read; what belongs to another model, is incomplete or lies is
 * refused. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "format/gem-learned-file.h"
#include "tests/gem-test-model.h"

typedef struct {
  char *dir;
  GemModelFiles *model;
  GemLearnedBase base;
  float row[64];
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GError) error = NULL;
  fixture->dir = gem_test_folder_new();
  gem_test_model_shape(&shape);
  gem_test_model_write(fixture->dir, &shape, GEM_TYPE_Q4_0, 1);
  fixture->model = gem_model_files_open(fixture->dir, &error);
  g_assert_no_error(error);
  g_assert_true(gem_learned_base_of_model(fixture->model, &fixture->base, &error));
  g_assert_cmpuint(fixture->base.router_width, ==, G_N_ELEMENTS(fixture->row));
  for (gsize i = 0; i < G_N_ELEMENTS(fixture->row); i++) {
    fixture->row[i] = (float)i / 7.0f;
  }
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_model_files_free(fixture->model);
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
}

/* The residual of the model's own domain, but for the tensor `left_out` (NULL: none). */
static void
add_residual(Fixture *fixture, const char *left_out, GemGgufWriter *writer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(fixture->model, "legal", &error);
  g_assert_no_error(error);
  for (guint i = 0; i < gem_gguf_n_tensors(pathway); i++) {
    const GemTensor *tensor = gem_gguf_tensor(pathway, i);
    if (g_strcmp0(tensor->name, left_out) != 0) {
      gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols,
                                      gem_gguf_read_tensor(pathway, tensor, NULL));
    }
  }
}

static GemGgufWriter *
new_learned(Fixture *fixture, const char *name, const char *replaces, const char *left_out)
{
  g_autoptr(GError) error = NULL;
  GemGgufWriter *writer = gem_gguf_writer_new();
  g_assert_true(gem_learned_file_write(&fixture->base, name, replaces, fixture->row, -1.5f, writer, &error));
  g_assert_no_error(error);
  add_residual(fixture, left_out, writer);
  return writer;
}

/* The file that lies in a descriptor, as the service gets it. */
static GemGguf *
open_written(GemGgufWriter *writer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  int fd = memfd_create("learned", MFD_CLOEXEC);
  g_assert_true(gem_file_overwrite(fd, "learned", bytes, &error));
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(fd, "learned", &error);
  g_assert_no_error(error);
  close(fd);
  GemGguf *file = gem_gguf_new_from_reader(reader, "learned", &error);
  g_assert_no_error(error);
  return file;
}

static void
test_round_trip(Fixture *fixture, gconstpointer data)
{
  const char *const replaced[] = {NULL, "legal"};
  for (gsize i = 0; i < G_N_ELEMENTS(replaced); i++) {
    const char *name = replaced[i] != NULL ? replaced[i] : "knitting";
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGgufWriter) writer = new_learned(fixture, name, replaced[i], NULL);
    g_autoptr(GemGguf) file = open_written(writer);
    g_autoptr(GemLearnedFile) learned = gem_learned_file_new(file, &fixture->base, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(learned->name, ==, name);
    g_assert_cmpstr(learned->replaces, ==, replaced[i]);
    g_assert_cmpmem(learned->row, learned->width * sizeof(float), fixture->row, sizeof fixture->row);
    g_assert_cmpfloat(learned->bias, ==, -1.5f);
    g_assert_nonnull(gem_gguf_find_tensor(learned->file, "blk.1.ffn_down.weight"));
  }
}

/* The name of one domain never stands for another's. */
static void
test_names(Fixture *fixture, gconstpointer data)
{
  const struct {
    const char *name, *replaces;
  } cases[] = {{"legal", NULL},      {"knitting", "legal"},
               {"finance", "legal"}, {"knitting", "knitting"},
               {"general", NULL},    {"Knitting", NULL},
               {"../x", NULL},       {"", NULL},
               {"9to5", NULL},       {"a b", NULL},
               {"a\n", NULL},        {"abcdefghijklmnopqrstuvwxyzabcdefg", NULL}};
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
    g_assert_false(gem_learned_file_write(&fixture->base, cases[i].name, cases[i].replaces, fixture->row,
                                          0.0f, writer, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);

    /* A hostile writer's file with them. */
    g_autoptr(GemGgufWriter) hostile = new_learned(fixture, "knitting", NULL, NULL);
    gem_gguf_writer_set_string(hostile, "gem.learned.name", cases[i].name);
    gem_gguf_writer_set_string(hostile, "gem.learned.replaces", cases[i].replaces ? cases[i].replaces : "");
    gem_gguf_writer_set_string(hostile, "gempathway.domain", cases[i].name);
    g_autoptr(GemGguf) file = open_written(hostile);
    g_clear_error(&error);
    g_assert_null(gem_learned_file_new(file, &fixture->base, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED);
    g_assert_nonnull(strstr(error->message, "learned"));
  }
}

static void
assert_refused(Fixture *fixture, GemGgufWriter *writer, GemFormatError code, const char *what)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = open_written(writer);
  g_assert_null(gem_learned_file_new(file, &fixture->base, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, what));
}

static void
test_other_model(Fixture *fixture, gconstpointer data)
{
  const char *keys[] = {"gem.learned.general_sha256", "gem.learned.router_sha256"};
  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
    g_autoptr(GemGgufWriter) writer = new_learned(fixture, "knitting", NULL, NULL);
    gem_gguf_writer_set_string(writer, keys[i], "00");
    assert_refused(fixture, writer, GEM_FORMAT_ERROR_MISMATCH, keys[i]);
  }
  g_autoptr(GemGgufWriter) wide = new_learned(fixture, "knitting", NULL, NULL);
  gem_gguf_writer_set_uint(wide, "gempathway.feed_forward_length", 64);
  assert_refused(fixture, wide, GEM_FORMAT_ERROR_MISMATCH, "gempathway.feed_forward_length");
  g_autoptr(GemGgufWriter) later = new_learned(fixture, "knitting", NULL, NULL);
  gem_gguf_writer_set_uint(later, "gem.learned.version", 2);
  assert_refused(fixture, later, GEM_FORMAT_ERROR_UNSUPPORTED, "gem.learned.version");
  g_autoptr(GemGgufWriter) other = new_learned(fixture, "knitting", NULL, NULL);
  gem_gguf_writer_set_string(other, "gempathway.domain", "legal");
  assert_refused(fixture, other, GEM_FORMAT_ERROR_MISMATCH, "gempathway.domain");
}

static void
test_tensors(Fixture *fixture, gconstpointer data)
{
  const float single = 1.0f;
  g_autoptr(GemGgufWriter) incomplete = new_learned(fixture, "knitting", NULL, "blk.1.ffn_up.weight");
  assert_refused(fixture, incomplete, GEM_FORMAT_ERROR_MISSING, "blk.1.ffn_up.weight");
  g_autoptr(GemGgufWriter) more = new_learned(fixture, "knitting", NULL, NULL);
  gem_gguf_writer_add_tensor_data(more, "token_embd.weight", GEM_TYPE_F32, 1, 1, &single);
  assert_refused(fixture, more, GEM_FORMAT_ERROR_UNSUPPORTED, "token_embd.weight");

  /* Without its row, and with one of another length. */
  g_autoptr(GemGgufWriter) rowless = gem_gguf_writer_new();
  gem_pathway_write(fixture->base.shape, "knitting", rowless);
  gem_gguf_writer_set_uint(rowless, "gem.learned.version", 1);
  gem_gguf_writer_set_string(rowless, "gem.learned.name", "knitting");
  gem_gguf_writer_set_string(rowless, "gem.learned.replaces", "");
  gem_gguf_writer_set_string(rowless, "gem.learned.general_sha256", fixture->base.general_sha256);
  gem_gguf_writer_set_string(rowless, "gem.learned.router_sha256", fixture->base.router_sha256);
  add_residual(fixture, NULL, rowless);
  assert_refused(fixture, rowless, GEM_FORMAT_ERROR_MISSING, GEM_LEARNED_ROW);
  gem_gguf_writer_add_tensor_data(rowless, GEM_LEARNED_ROW, GEM_TYPE_F32, 1, 32, fixture->row);
  assert_refused(fixture, rowless, GEM_FORMAT_ERROR_MISMATCH, GEM_LEARNED_ROW);
}

/* A number that is none, wherever it stands. */
static void
test_values(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGgufWriter) refused = gem_gguf_writer_new();
  fixture->row[3] = NAN;
  g_assert_false(
      gem_learned_file_write(&fixture->base, "knitting", NULL, fixture->row, 0.0f, refused, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
  fixture->row[3] = 0.0f;

  const gsize rows = 32, cols = 64;
  gsize bytes = rows * gem_type_row_bytes(GEM_TYPE_Q4_0, cols);
  g_autofree guint8 *blocks = g_malloc0(bytes);
  const guint16 infinite_half = 0x7c00;
  memcpy(blocks + bytes / 2, &infinite_half, sizeof infinite_half);
  g_autoptr(GemGgufWriter) endless = new_learned(fixture, "knitting", NULL, "blk.0.ffn_gate.weight");
  gem_gguf_writer_add_tensor_data(endless, "blk.0.ffn_gate.weight", GEM_TYPE_Q4_0, rows, cols, blocks);
  assert_refused(fixture, endless, GEM_FORMAT_ERROR_MALFORMED, "blk.0.ffn_gate.weight");
}

/* A descriptor of something else than a file, and a file that is cut short while it is read. */
static void
test_descriptors(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  int ends[2];
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  g_assert_null(gem_file_reader_new_from_fd(ends[0], "learned", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_clear_error(&error);
  close(ends[0]);
  close(ends[1]);
  g_assert_null(gem_file_reader_new_from_fd(ends[0], "learned", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_clear_error(&error);

  g_autoptr(GemGgufWriter) writer = new_learned(fixture, "knitting", NULL, NULL);
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  int fd = memfd_create("learned", MFD_CLOEXEC);
  g_assert_true(gem_file_overwrite(fd, "learned", bytes, &error));
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(fd, "learned", &error);
  g_autoptr(GemGguf) file = gem_gguf_new_from_reader(reader, "learned", &error);
  g_assert_no_error(error);
  g_assert_cmpint(ftruncate(fd, (off_t)g_bytes_get_size(bytes) / 2), ==, 0);
  g_assert_null(gem_learned_file_new(file, &fixture->base, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH);
  close(fd);
}

/* A shorter content leaves nothing of a longer one. */
static void
test_overwrite(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) first = g_bytes_new_static("0123456789", 10);
  g_autoptr(GBytes) second = g_bytes_new_static("abc", 3);
  int fd = memfd_create("file", MFD_CLOEXEC);
  char read_back[16];
  g_assert_true(gem_file_overwrite(fd, "file", first, &error));
  g_assert_true(gem_file_overwrite(fd, "file", second, &error));
  g_assert_cmpint(pread(fd, read_back, sizeof read_back, 0), ==, 3);
  g_assert_cmpmem(read_back, 3, "abc", 3);
  close(fd);
  g_assert_false(gem_file_overwrite(fd, "file", second, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/learned-file/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add("/learned-file/names", Fixture, NULL, set_up, test_names, tear_down);
  g_test_add("/learned-file/other-model", Fixture, NULL, set_up, test_other_model, tear_down);
  g_test_add("/learned-file/tensors", Fixture, NULL, set_up, test_tensors, tear_down);
  g_test_add("/learned-file/values", Fixture, NULL, set_up, test_values, tear_down);
  g_test_add("/learned-file/descriptors", Fixture, NULL, set_up, test_descriptors, tear_down);
  g_test_add_func("/learned-file/overwrite", test_overwrite);
  return g_test_run();
}
