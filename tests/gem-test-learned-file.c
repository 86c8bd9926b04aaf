#include "tests/gem-test-learned-file.h"

#include "format/gem-learned-file.h"

char *
gem_test_learned_file_write(const char *dir, const char *name, float bias)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelFiles) model = gem_model_files_open(dir, &error);
  g_autoptr(GemGguf) pathway = NULL;
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GBytes) bytes = NULL;
  g_autofree char *file = g_strconcat("learned-", name, ".gguf", NULL);
  g_autofree float *row = NULL;
  char *path = g_build_filename(dir, file, NULL);
  GemLearnedBase base;

  g_assert_no_error(error);
  g_assert_true(gem_learned_base_of_model(model, &base, &error));
  row = g_new0(float, base.router_width);
  g_assert_true(gem_learned_file_write(&base, name, NULL, row, bias, writer, &error));
  pathway = gem_model_files_open_pathway(model, model->shape.domains[0], &error);
  g_assert_no_error(error);
  for (guint i = 0; i < gem_gguf_n_tensors(pathway); i++) {
    const GemTensor *tensor = gem_gguf_tensor(pathway, i);

    gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols,
                                    gem_gguf_read_tensor(pathway, tensor, NULL));
  }
  bytes = gem_gguf_writer_to_bytes(writer);
  g_assert_true(
      g_file_set_contents(path, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes), &error));
  return path;
}
