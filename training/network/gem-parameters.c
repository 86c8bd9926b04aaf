#include "training/network/gem-parameters.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"

static void
parameter_free(gpointer data)
{
  GemParameter *parameter = data;
  g_free(parameter->name);
  g_free(parameter->part);
  g_free(parameter);
}

GemParameters *
gem_parameters_new(void)
{
  GemParameters *self = g_new0(GemParameters, 1);
  self->items = g_ptr_array_new_with_free_func(parameter_free);
  return self;
}

void
gem_parameters_free(GemParameters *self)
{
  g_ptr_array_unref(self->items);
  g_free(self);
}

gsize
gem_parameters_add(GemParameters *self,
                   const char *part,
                   gsize rows,
                   gsize cols,
                   float deviation,
                   const char *name_format,
                   ...)
{
  GemParameter *parameter = g_new0(GemParameter, 1);
  va_list arguments;
  va_start(arguments, name_format);
  parameter->name = g_strdup_vprintf(name_format, arguments);
  va_end(arguments);
  parameter->part = g_strdup(part);
  parameter->rows = rows;
  parameter->cols = cols;
  parameter->offset = self->size;
  parameter->decays = rows > 1;
  parameter->deviation = deviation;
  g_ptr_array_add(self->items, parameter);
  self->size += rows * cols;
  return parameter->offset;
}

float *
gem_parameters_alloc(const GemParameters *self)
{
  return g_aligned_alloc0(self->size, sizeof(float), 64);
}

void
gem_parameters_init(const GemParameters *self, guint64 seed, float *values)
{
  for (guint i = 0; i < self->items->len; i++) {
    const GemParameter *parameter = self->items->pdata[i];
    float *tensor = values + parameter->offset;
    GemRandom random = gem_random_seeded(seed, i);
    for (gsize j = 0; j < parameter->rows * parameter->cols; j++) {
      tensor[j] =
          parameter->deviation < 0.0f ? 1.0f : parameter->deviation * (float)gem_random_normal(&random);
    }
  }
}

gboolean
gem_parameters_check_same(const GemParameters *self,
                          const GemParameters *other,
                          const char *path,
                          GError **error)
{
  for (guint i = 0; i < MAX(self->items->len, other->items->len); i++) {
    const GemParameter *own = i < self->items->len ? self->items->pdata[i] : NULL;
    const GemParameter *its = i < other->items->len ? other->items->pdata[i] : NULL;
    if (own == NULL || its == NULL || !g_str_equal(own->part, its->part) ||
        !g_str_equal(own->name, its->name) || own->rows != its->rows || own->cols != its->cols) {
      const GemParameter *named = own != NULL ? own : its;
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                  "%s is of another shape: %s of %s is not as in the model that is trained", path,
                  named->name, named->part);
      return FALSE;
    }
  }
  return TRUE;
}

static char *
file_name_of(const char *prefix, const GemParameter *parameter)
{
  return g_strdup_printf("%s%s/%s", prefix, parameter->part, parameter->name);
}

gboolean
gem_parameters_write(
    const GemParameters *self, const char *prefix, const float *values, GemGgufWriter *writer, GError **error)
{
  for (guint i = 0; i < self->items->len; i++) {
    const GemParameter *parameter = self->items->pdata[i];
    g_autofree char *name = file_name_of(prefix, parameter);
    if (!gem_gguf_writer_add_tensor(writer, name, GEM_TYPE_F32, parameter->rows, parameter->cols,
                                    values + parameter->offset, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
read_tensor(const GemParameter *parameter, const char *name, GemGguf *file, float *values, GError **error)
{
  const GemTensor *tensor = gem_gguf_require_tensor(file, name, parameter->rows, parameter->cols, error);
  if (tensor == NULL) {
    return FALSE;
  }
  const guint8 *data = gem_gguf_read_tensor(file, tensor, error);
  if (data == NULL) {
    return FALSE;
  }
  gsize row_bytes = gem_type_row_bytes(tensor->type, tensor->cols);
  for (gsize row = 0; row < tensor->rows; row++) {
    gem_dequantize_row(tensor->type, data + row * row_bytes, values + parameter->offset + row * tensor->cols,
                       tensor->cols);
  }
  return TRUE;
}

gboolean
gem_parameters_read(
    const GemParameters *self, const char *prefix, GemGguf *file, float *values, GError **error)
{
  for (guint i = 0; i < self->items->len; i++) {
    const GemParameter *parameter = self->items->pdata[i];
    g_autofree char *name = file_name_of(prefix, parameter);
    if (!read_tensor(parameter, name, file, values, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_parameters_check_file(const GemParameters *self, const char *prefix, GemGguf *file, GError **error)
{
  for (guint i = 0; i < self->items->len; i++) {
    const GemParameter *parameter = self->items->pdata[i];
    g_autofree char *name = prefix != NULL ? file_name_of(prefix, parameter) : g_strdup(parameter->name);
    if (gem_gguf_require_tensor(file, name, parameter->rows, parameter->cols, error) == NULL) {
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_parameters_read_part(
    const GemParameters *self, const char *part, GemGguf *file, float *values, GError **error)
{
  for (guint i = 0; i < self->items->len; i++) {
    const GemParameter *parameter = self->items->pdata[i];
    if (strcmp(parameter->part, part) == 0 && !read_tensor(parameter, parameter->name, file, values, error)) {
      return FALSE;
    }
  }
  return TRUE;
}
