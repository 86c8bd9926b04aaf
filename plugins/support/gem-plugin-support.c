#include "plugins/support/gem-plugin-support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
gem_plugin_set_error(GemPluginError *error, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
}

bool
gem_plugin_find_tensor(const GemTensorSource *source,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemTensorView *ret_tensor,
                       GemPluginError *error)
{
  GemTensorView tensor;
  if (!source->find_tensor(source->context, name, &tensor)) {
    gem_plugin_set_error(error, "%s: tensor %s is missing", source->file, name);
    return false;
  }
  if (tensor.rows != rows || tensor.cols != cols) {
    gem_plugin_set_error(error, "%s: tensor %s is %zu x %zu, not %zu x %zu", source->file, name, tensor.rows,
                         tensor.cols, rows, cols);
    return false;
  }
  *ret_tensor = tensor;
  return true;
}

GemMatrix *
gem_plugin_load_matrix(const GemTensorSource *source,
                       const GemBackend *backend,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemPluginError *error)
{
  GemTensorView tensor;
  if (!gem_plugin_find_tensor(source, name, rows, cols, &tensor, error)) {
    return NULL;
  }
  GemPluginError reason = {""};
  GemMatrix *matrix = backend->functions->matrix_new(backend->state, &tensor, &reason);
  if (matrix == NULL) {
    gem_plugin_set_error(error, "%s: tensor %s: %s", source->file, name, reason.message);
  }
  return matrix;
}

float *
gem_plugin_load_floats(const GemTensorSource *source,
                       const GemBackend *backend,
                       const char *name,
                       size_t rows,
                       size_t cols,
                       GemPluginError *error)
{
  GemMatrix *matrix = gem_plugin_load_matrix(source, backend, name, rows, cols, error);
  if (matrix == NULL) {
    return NULL;
  }

  float *values = malloc(rows * cols * sizeof *values);
  if (values == NULL) {
    gem_plugin_set_error(error, "%s: tensor %s: out of memory (%zu values)", source->file, name, rows * cols);
  }
  for (size_t row = 0; values != NULL && row < rows; row++) {
    backend->functions->matrix_row(backend->state, matrix, row, values + row * cols);
  }
  backend->functions->matrix_free(backend->state, matrix);
  return values;
}

bool
gem_plugin_read_count(const GemTensorSource *source,
                      const char *key,
                      uint32_t maximum,
                      uint32_t *ret_value,
                      GemPluginError *error)
{
  double value;
  if (!source->find_number(source->context, key, &value)) {
    gem_plugin_set_error(error, "%s: key %s is missing", source->file, key);
    return false;
  }
  /* The range first: a double beyond it has no value as an integer. */
  if (!(value >= 1 && value <= maximum) || value != (double)(uint32_t)value) {
    gem_plugin_set_error(error, "%s: key %s is %g, not a whole number from 1 to %u", source->file, key, value,
                         maximum);
    return false;
  }
  *ret_value = (uint32_t)value;
  return true;
}
