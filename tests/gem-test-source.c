#include "tests/gem-test-source.h"

typedef struct {
  GemTensorView view; /* view.data is owned */
  float *values;
} Tensor;

static void
tensor_free(gpointer data)
{
  Tensor *tensor = data;
  g_free((void *)tensor->view.data);
  g_free(tensor->values);
  g_free(tensor);
}

static bool
find_tensor(void *context, const char *name, GemTensorView *ret_tensor)
{
  GemTestSource *self = context;
  const Tensor *tensor = g_hash_table_lookup(self->tensors, name);
  if (tensor == NULL) {
    return false;
  }
  *ret_tensor = tensor->view;
  return true;
}

static bool
find_number(void *context, const char *key, double *ret_value)
{
  GemTestSource *self = context;
  const double *value = g_hash_table_lookup(self->numbers, key);
  if (value == NULL) {
    return false;
  }
  *ret_value = *value;
  return true;
}

static const char *
find_string(void *context, const char *key)
{
  GemTestSource *self = context;
  return g_hash_table_lookup(self->strings, key);
}

GemTestSource *
gem_test_source_new(const char *file, guint32 seed)
{
  GemTestSource *self = g_new0(GemTestSource, 1);
  self->tensors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, tensor_free);
  self->numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->strings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->random = g_rand_new_with_seed(seed);
  self->source = (GemTensorSource){
      .context = self,
      .file = file,
      .find_tensor = find_tensor,
      .find_number = find_number,
      .find_string = find_string,
  };
  return self;
}

void
gem_test_source_free(GemTestSource *self)
{
  g_hash_table_unref(self->tensors);
  g_hash_table_unref(self->numbers);
  g_hash_table_unref(self->strings);
  g_rand_free(self->random);
  g_free(self);
}

static float *
random_between(GRand *random, size_t count, double from, double to)
{
  float *values = g_new0(float, count);
  for (size_t i = 0; i < count; i++) {
    values[i] = (float)g_rand_double_range(random, from, to);
  }
  return values;
}

float *
gem_test_random_floats(GRand *random, size_t count, double spread)
{
  return random_between(random, count, -spread, spread);
}

void
gem_test_source_add(GemTestSource *self,
                    const char *name,
                    GemType type,
                    size_t rows,
                    size_t cols,
                    double centre,
                    double spread)
{
  Tensor *tensor = g_new0(Tensor, 1);
  size_t row_bytes = gem_type_row_bytes(type, cols);
  g_assert_cmpuint(row_bytes, >, 0);
  guint8 *data = g_malloc(rows * row_bytes);
  tensor->values = random_between(self->random, rows * cols, centre - spread, centre + spread);
  for (size_t row = 0; row < rows; row++) {
    float *values = tensor->values + row * cols;
    gem_quantize_row(type, values, data + row * row_bytes, cols);
    gem_dequantize_row(type, data + row * row_bytes, values, cols);
  }
  tensor->view = (GemTensorView){
      .type = type,
      .rows = rows,
      .cols = cols,
      .data = data,
      .bytes = rows * row_bytes,
  };
  g_hash_table_replace(self->tensors, g_strdup(name), tensor);
}

void
gem_test_source_remove(GemTestSource *self, const char *name)
{
  g_assert_true(g_hash_table_remove(self->tensors, name));
}

const float *
gem_test_source_values(const GemTestSource *self, const char *name)
{
  const Tensor *tensor = g_hash_table_lookup(self->tensors, name);
  g_assert_nonnull(tensor);
  return tensor->values;
}

void
gem_test_source_set_number(GemTestSource *self, const char *key, double value)
{
  g_hash_table_replace(self->numbers, g_strdup(key), g_memdup2(&value, sizeof value));
}

void
gem_test_source_set_string(GemTestSource *self, const char *key, const char *value)
{
  g_hash_table_replace(self->strings, g_strdup(key), g_strdup(value));
}
