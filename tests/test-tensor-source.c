/*
 * How modules see a model file and its shape, over a GGUF in memory.
 */
#include <string.h>

#include "daemon/plugin/gem-tensor-source.h"

static GemTensorSource *
source_new(void)
{
  static const float values[2 * 32] = {[0] = 1, [32] = 2, [63] = -3};
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GError) error = NULL;
  gem_gguf_writer_set_uint(writer, "count", 4000000000U);
  gem_gguf_writer_set_float(writer, "epsilon", 0.5F);
  gem_gguf_writer_set_bool(writer, "flag", TRUE);
  gem_gguf_writer_set_string(writer, "name", "légal");
  gem_gguf_writer_add_tensor(writer, "w", GEM_TYPE_F32, 2, 32, values, &error);
  g_assert_no_error(error);

  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "memory.gguf", &error);
  g_assert_no_error(error);
  return gem_tensor_source_new(file); /* keeps the file on its own */
}

static void
test_tensors(void)
{
  g_autoptr(GemTensorSource) source = source_new();
  GemTensorView tensor = {.rows = 77};
  g_assert_cmpstr(source->file, ==, "memory.gguf");
  g_assert_false(source->find_tensor(source->context, "v", &tensor));
  g_assert_cmpuint(tensor.rows, ==, 77);
  g_assert_true(source->find_tensor(source->context, "w", &tensor));
  g_assert_cmpuint(tensor.type, ==, GEM_TYPE_F32);
  g_assert_cmpuint(tensor.rows, ==, 2);
  g_assert_cmpuint(tensor.cols, ==, 32);
  g_assert_cmpuint(tensor.bytes, ==, 2 * 32 * sizeof(float));
  float last;
  memcpy(&last, (const char *)tensor.data + 63 * sizeof(float), sizeof last);
  g_assert_cmpfloat(last, ==, -3);
}

static void
test_metadata(void)
{
  g_autoptr(GemTensorSource) source = source_new();
  double value = -1;
  g_assert_true(source->find_number(source->context, "count", &value));
  g_assert_cmpfloat(value, ==, 4000000000.0);
  g_assert_true(source->find_number(source->context, "epsilon", &value));
  g_assert_cmpfloat(value, ==, 0.5);
  g_assert_true(source->find_number(source->context, "flag", &value));
  g_assert_cmpfloat(value, ==, 1);
  value = -1;
  g_assert_false(source->find_number(source->context, "name", &value));
  g_assert_false(source->find_number(source->context, "nothing", &value));
  g_assert_cmpfloat(value, ==, -1);

  const char *name = source->find_string(source->context, "name");
  g_assert_cmpstr(name, ==, "légal");
  g_assert_true(source->find_string(source->context, "name") == name);
  g_assert_null(source->find_string(source->context, "count"));
  g_assert_null(source->find_string(source->context, "nothing"));
}

static void
test_shape(void)
{
  const GemModelShape model = {
      .vocab = 1,
      .width = 2,
      .layers = 3,
      .heads = 4,
      .kv_heads = 5,
      .head_dim = 6,
      .rope_dim = 7,
      .ffn = 8,
      .domain_ffn = 9,
      .context = 10,
      .rms_epsilon = 0.25F,
      .rope_base = 500,
      .n_cluster_sets = 2,
      .clusters = {16, 8},
      .window = 11,
      .n_domains = 12,
  };
  GemShape shape = gem_shape_for_plugins(&model);
  g_assert_cmpuint(shape.struct_size, ==, sizeof(GemShape));
  g_assert_cmpuint(shape.vocab, ==, 1);
  g_assert_cmpuint(shape.width, ==, 2);
  g_assert_cmpuint(shape.layers, ==, 3);
  g_assert_cmpuint(shape.heads, ==, 4);
  g_assert_cmpuint(shape.kv_heads, ==, 5);
  g_assert_cmpuint(shape.head_dim, ==, 6);
  g_assert_cmpuint(shape.rope_dim, ==, 7);
  g_assert_cmpuint(shape.ffn, ==, 8);
  g_assert_cmpuint(shape.domain_ffn, ==, 9);
  g_assert_cmpuint(shape.context, ==, 10);
  g_assert_cmpuint(shape.window, ==, 11);
  g_assert_cmpuint(shape.domains, ==, 12);
  g_assert_cmpuint(shape.n_cluster_sets, ==, 2);
  g_assert_cmpuint(shape.clusters[0], ==, 16);
  g_assert_cmpuint(shape.clusters[1], ==, 8);
  g_assert_cmpfloat(shape.rms_epsilon, ==, 0.25);
  g_assert_cmpfloat(shape.rope_base, ==, 500);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/tensor-source/tensors", test_tensors);
  g_test_add_func("/tensor-source/metadata", test_metadata);
  g_test_add_func("/tensor-source/shape", test_shape);
  return g_test_run();
}
