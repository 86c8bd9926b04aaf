/* Any bytes as a model file: keys, tensors, and the shapes of all its kinds of parts. */
#include "format/gem-model-shape.h"
#include "tests/fuzz/gem-fuzz.h"

/* As every type that a value can be asked as. */
static void
read_key(GemGguf *file, const char *key)
{
  gboolean truth;
  guint64 integer;
  double number;

  g_free(gem_gguf_key_to_string(file, key));
  g_free(gem_gguf_get_string(file, key, NULL));
  g_clear_pointer(&(GArray *){gem_gguf_get_uint_array(file, key, NULL)}, g_array_unref);
  g_clear_pointer(&(GArray *){gem_gguf_get_float_array(file, key, NULL)}, g_array_unref);
  g_clear_pointer(&(GPtrArray *){gem_gguf_get_bytes_array(file, key, NULL)}, g_ptr_array_unref);
  g_strfreev(gem_gguf_get_string_array(file, key, NULL));
  gem_gguf_get_uint(file, key, &integer, NULL);
  gem_gguf_get_float(file, key, &number, NULL);
  gem_gguf_get_bool(file, key, &truth, NULL);
}

/* Copies all bytes of a tensor, so that one past the end is one that a sanitizer sees. */
static void
read_tensor(GemGguf *file, const GemTensor *tensor)
{
  g_assert_true(gem_gguf_find_tensor(file, tensor->name) != NULL);
  g_free(g_memdup2(gem_gguf_read_tensor(file, tensor, NULL), tensor->bytes));
}

static void
read_shapes(GemGguf *file)
{
  g_auto(GemModelShape) shape = {0};
  GemRouterShape router = {0};
  g_autoptr(GError) error = NULL;

  if (gem_model_shape_read(file, &shape, &error)) {
    gem_model_shape_check_tensors(&shape, file, NULL);
    gem_pathway_check(&shape, "legal", file, NULL);
  }
  if (gem_router_shape_read(file, &router, NULL)) {
    gem_router_shape_check_tensors(&router, file, NULL);
  }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  GError *error = NULL;
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "fuzz", &error);
  guint i;

  gem_fuzz_check_outcome(file != NULL, error);
  if (file == NULL) {
    return 0;
  }
  for (i = 0; i < gem_gguf_n_keys(file); i++) {
    read_key(file, gem_gguf_key_name(file, i));
  }
  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    read_tensor(file, gem_gguf_tensor(file, i));
  }
  read_shapes(file);
  return 0;
}
