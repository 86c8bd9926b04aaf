#include "adaptation/trainer/gem-adapt-output.h"

#include <string.h>

#include "adaptation/gem-adapt-fields.h"
#include "training/network/gem-model-export.h"

#define NAME gem_adapt_file_names[GEM_ADAPT_OUTPUT]

gboolean
gem_adapt_output_write(const GemAdaptModel *model,
                       const GemAdaptStart *start,
                       const float *row,
                       GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autofree char *part = gem_adapt_model_part(model);
  const GPtrArray *items = model->backbone->parameters->items;
  if (!gem_learned_file_write(&model->base, start->name, start->replaces, row, row[model->base.router_width],
                              writer, error)) {
    return FALSE;
  }
  for (guint i = 0; i < items->len; i++) {
    const GemParameter *parameter = items->pdata[i];
    if (strcmp(parameter->part, part) == 0 &&
        !gem_gguf_writer_add_tensor(writer, parameter->name,
                                    gem_export_type_of(parameter, &gem_export_types_default), parameter->rows,
                                    parameter->cols, model->values + parameter->offset, error)) {
      return FALSE;
    }
  }
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  return gem_file_overwrite(start->files[GEM_ADAPT_OUTPUT], NAME, bytes, error);
}

gboolean
gem_adapt_output_read(GemAdaptModel *model, const GemAdaptStart *start, float *row, GError **error)
{
  g_autofree char *part = gem_adapt_model_part(model);
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(start->files[GEM_ADAPT_OUTPUT], NAME, error);
  g_autoptr(GemGguf) file = reader != NULL ? gem_gguf_new_from_reader(reader, NAME, error) : NULL;
  g_autoptr(GemLearnedFile) learned = file != NULL ? gem_learned_file_new(file, &model->base, error) : NULL;
  if (learned == NULL ||
      !gem_parameters_read_part(model->backbone->parameters, part, file, model->values, error)) {
    return FALSE;
  }
  memcpy(row, learned->row, learned->width * sizeof(float));
  row[learned->width] = learned->bias;
  return TRUE;
}

gboolean
gem_adapt_output_clear(const GemAdaptStart *start, GError **error)
{
  g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
  return gem_file_overwrite(start->files[GEM_ADAPT_OUTPUT], NAME, nothing, error);
}
