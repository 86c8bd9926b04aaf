/* Weights in the form that the kernels take: packed once, when they come in. */
#include <stdlib.h>

#include "plugins/backends/cpu/gem-cpu.h"
#include "plugins/support/gem-plugin-support.h"

GemMatrix *
gem_cpu_matrix_new(GemBackendState *self, const GemTensorView *tensor, GemPluginError *error)
{
  if (!gem_type_is_known(tensor->type)) {
    gem_plugin_set_error(error, "type %u is not known", tensor->type);
    return NULL;
  }
  GemType type = (GemType)tensor->type;
  size_t row_bytes = gem_type_row_bytes(type, tensor->cols);
  if (row_bytes == 0 || tensor->bytes / row_bytes != tensor->rows || tensor->bytes % row_bytes != 0) {
    gem_plugin_set_error(error, "%zu x %zu values of type %s do not make %zu bytes", tensor->rows,
                         tensor->cols, gem_type_name(tensor->type), tensor->bytes);
    return NULL;
  }

  size_t bytes = gem_packed_bytes(type, tensor->rows, tensor->cols);
  GemMatrix *matrix = malloc(sizeof *matrix);
  uint8_t *data = aligned_alloc(GEM_PACKED_ALIGNMENT, bytes);
  if (matrix == NULL || data == NULL) {
    free(matrix);
    free(data);
    gem_plugin_set_error(error, "out of memory (%zu bytes)", bytes);
    return NULL;
  }
  *matrix = (GemMatrix){
      .packed = {.type = type, .rows = tensor->rows, .cols = tensor->cols, .data = data},
      .data = data,
  };
  self->kernels->pack(type, tensor->rows, tensor->cols, tensor->data, data);
  return matrix;
}

void
gem_cpu_matrix_free(GemBackendState *self, GemMatrix *matrix)
{
  free(matrix->data);
  free(matrix);
}

size_t
gem_cpu_matrix_bytes(const GemMatrix *matrix)
{
  const GemPacked *packed = &matrix->packed;
  return sizeof *matrix + gem_packed_bytes(packed->type, packed->rows, packed->cols);
}

void
gem_cpu_matrix_row(GemBackendState *self, const GemMatrix *matrix, size_t row, float *values)
{
  gem_packed_row(&matrix->packed, row, values);
}
