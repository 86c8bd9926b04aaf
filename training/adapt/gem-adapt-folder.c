#include "training/adapt/gem-adapt-folder.h"

#include <string.h>

#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-stage.h"

#define CLASSIFIER "classifier.weight"

static gboolean
type_of_tensor(GemGguf *file, const char *name, GemType *ret_type, GError **error)
{
  const GemTensor *tensor = gem_gguf_find_tensor(file, name);
  if (tensor == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING, "%s: tensor %s is missing",
                gem_gguf_get_name(file), name);
    return FALSE;
  }
  *ret_type = tensor->type;
  return TRUE;
}

gboolean
gem_adapt_folder_read_types(GemModelFiles *files, GemExportTypes *ret_types, GError **error)
{
  GemExportTypes types = gem_export_types_default;
  if (!type_of_tensor(files->general, "blk.0.ffn_gate.weight", &types.general, error) ||
      !type_of_tensor(files->general, "blk.0.attn_q.weight", &types.attention, error)) {
    return FALSE;
  }
  if (files->shape.n_domains > 0) {
    g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, files->shape.domains[0], error);
    if (pathway == NULL || !type_of_tensor(pathway, "blk.0.ffn_gate.weight", &types.domain, error) ||
        !type_of_tensor(files->router, CLASSIFIER, &types.router, error)) {
      return FALSE;
    }
  }
  *ret_types = types;
  return TRUE;
}

/* The classifier with one row anew, in the type that it has. */
static gboolean
add_classifier(GemGgufWriter *writer,
               const GemTensor *tensor,
               const guint8 *data,
               gint8 domain,
               const float *row,
               GError **error)
{
  gsize row_bytes = gem_type_row_bytes(tensor->type, tensor->cols);
  g_autofree guint8 *changed = g_memdup2(data, row_bytes * tensor->rows);
  gem_quantize_row(tensor->type, row, changed + (gsize)domain * row_bytes, tensor->cols);
  gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols, changed);
  return TRUE;
}

/* router.gguf with one row of the classifier anew, and every other block as it is. */
static gboolean
write_router(GemModelFiles *files,
             gint8 domain,
             const float *row,
             gboolean all_licences,
             const char *path,
             GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  if (all_licences) {
    gem_gguf_writer_set_bool(writer, GEM_CHECKPOINT_ALL_LICENCES, TRUE);
  }
  gem_router_shape_write(&files->router_shape, (const char *const *)files->shape.domains, writer);
  for (guint i = 0; i < gem_gguf_n_tensors(files->router); i++) {
    const GemTensor *tensor = gem_gguf_tensor(files->router, i);
    const guint8 *data = gem_gguf_read_tensor(files->router, tensor, error);
    if (data == NULL) {
      return FALSE;
    }
    if (strcmp(tensor->name, CLASSIFIER) == 0) {
      if (!add_classifier(writer, tensor, data, domain, row, error)) {
        return FALSE;
      }
    } else {
      gem_gguf_writer_add_tensor_data(writer, tensor->name, tensor->type, tensor->rows, tensor->cols, data);
    }
  }
  return gem_gguf_writer_write(writer, path, error);
}

static gboolean
copy_file(GemModelFiles *files, const char *file, const GemModelStage *stage, GError **error)
{
  g_autoptr(GBytes) bytes = gem_manifest_read(files->manifest, file, error);
  return bytes != NULL && gem_model_stage_add(stage, file, bytes, error);
}

/* Whether what learned is in that file. */
static gboolean
file_learned(const GemModelShape *shape, GemLearns learns, gint8 domain, const char *file)
{
  if (strcmp(file, "general.gguf") == 0) {
    return learns != GEM_LEARNS_RESIDUAL;
  }
  g_autofree char *own =
      domain >= 0 && learns != GEM_LEARNS_GENERAL ? gem_model_pathway_file(shape->domains[domain]) : NULL;
  return g_strcmp0(file, own) == 0;
}

gboolean
gem_adapt_folder_write(GemModelFiles *files,
                       const GemExport *export,
                       const GemExportTypes *types,
                       GemLearns learns,
                       gint8 domain,
                       const float *row,
                       const char *folder,
                       GError **error)
{
  g_autoptr(GPtrArray) names = gem_model_export_files(&files->shape);
  g_autoptr(GemModelStage) stage = gem_model_stage_new(folder, error);
  for (guint i = 0; stage != NULL && i + 1 < names->len; i++) {
    const char *file = names->pdata[i], *into = gem_model_stage_get_folder(stage);
    g_autofree char *path = g_build_filename(into, file, NULL);
    gboolean router = row != NULL && strcmp(file, "router.gguf") == 0;
    gboolean done = router ? write_router(files, domain, row, export->all_licences, path, error)
                    : file_learned(&files->shape, learns, domain, file)
                        ? gem_model_export_file(export, types, file, into, error)
                        : copy_file(files, file, stage, error);
    if (!done) {
      return FALSE;
    }
  }
  return stage != NULL &&
         gem_model_stage_commit(stage, export->name, (const char *const *)names->pdata, error);
}
