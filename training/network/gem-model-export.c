#include "training/network/gem-model-export.h"

#include <string.h>

#include "format/gem-manifest.h"
#include "format/gem-model-files.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-stage.h"
#include "training/network/gem-progress.h"

const GemExportTypes gem_export_types_default = {GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

static GemType
type_that_fits(GemType wanted, gsize cols)
{
  const GemType choices[] = {wanted, GEM_TYPE_Q8_0, GEM_TYPE_F16};
  for (gsize i = 0; i < G_N_ELEMENTS(choices); i++) {
    if (gem_type_row_bytes(choices[i], cols) > 0) {
      return choices[i];
    }
  }
  return GEM_TYPE_F32;
}

GemType
gem_export_type_of(const GemParameter *parameter, const GemExportTypes *types)
{
  if (parameter->rows == 1) {
    return GEM_TYPE_F32; /* norms */
  }
  if (g_str_has_prefix(parameter->part, "pathway-")) {
    return type_that_fits(types->domain, parameter->cols);
  }
  if (strcmp(parameter->part, "router") == 0) {
    return type_that_fits(types->router, parameter->cols);
  }
  return type_that_fits(strstr(parameter->name, ".attn_") ? types->attention : types->general,
                        parameter->cols);
}

static gboolean
add_part(const GemParameters *parameters,
         const char *part,
         const float *values,
         const GemExportTypes *types,
         GemGgufWriter *writer,
         GError **error)
{
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    if (strcmp(parameter->part, part) == 0 &&
        !gem_gguf_writer_add_tensor(writer, parameter->name, gem_export_type_of(parameter, types),
                                    parameter->rows, parameter->cols, values + parameter->offset, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Control tokens, the 256 bytes, the space, and pieces that no text has. */
static char *
byte_tokenizer_piece(guint id, gint32 *ret_type)
{
  const char *const control[] = {"<unk>", "<s>", "</s>", "<|user|>", "<|model|>"};
  const guint first_byte = G_N_ELEMENTS(control), space = first_byte + 256;
  enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, UNUSED = 5, BYTE = 6 };
  if (id < first_byte) {
    *ret_type = id == 0 ? UNKNOWN : CONTROL;
    return g_strdup(control[id]);
  }
  if (id < space) {
    *ret_type = BYTE;
    return g_strdup_printf("<0x%02X>", id - first_byte);
  }
  *ret_type = id == space ? NORMAL : UNUSED;
  return id == space ? g_strdup("\xe2\x96\x81") : g_strdup_printf("<unused%u>", id);
}

static void
write_byte_tokenizer(guint vocab, GemGgufWriter *writer)
{
  g_autoptr(GPtrArray) pieces = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  g_autofree float *scores = g_new0(float, vocab);
  g_autofree gint32 *types = g_new0(gint32, vocab);
  for (guint id = 0; id < vocab; id++) {
    char *piece = byte_tokenizer_piece(id, &types[id]);
    g_ptr_array_add(pieces, g_bytes_new_take(piece, strlen(piece)));
  }
  gem_gguf_writer_set_string(writer, "tokenizer.ggml.model", "llama");
  gem_gguf_writer_set_bytes_array(writer, "tokenizer.ggml.tokens", pieces);
  gem_gguf_writer_set_float_array(writer, "tokenizer.ggml.scores", scores, vocab);
  gem_gguf_writer_set_int_array(writer, "tokenizer.ggml.token_type", types, vocab);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.unknown_token_id", 0);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.bos_token_id", 1);
  gem_gguf_writer_set_uint(writer, "tokenizer.ggml.eos_token_id", 2);
  gem_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", TRUE);
  gem_gguf_writer_set_bool(writer, "tokenizer.ggml.add_space_prefix", FALSE);
}

/* Name, vocabulary and tensors of the general part; the keys of its shape are the caller's. */
static gboolean
add_general(const GemExport *export, const GemExportTypes *types, GemGgufWriter *writer, GError **error)
{
  gem_gguf_writer_set_string(writer, "general.name", export->name);
  if (export->tokenizer != NULL) {
    gem_tokenizer_write(export->tokenizer, writer);
  } else {
    write_byte_tokenizer(export->backbone->shape.vocab, writer);
  }
  return add_part(export->backbone->parameters, "general", export->values, types, writer, error);
}

static gboolean
add_router(const GemExport *export, const GemExportTypes *types, GemGgufWriter *writer, GError **error)
{
  gem_router_shape_write(&export->router->shape, (const char *const *)export->router->domains, writer);
  return add_part(export->router->parameters, "router", export->router_values, types, writer, error);
}

static gboolean
add_pathway(const GemExport *export,
            const GemExportTypes *types,
            const char *file,
            GemGgufWriter *writer,
            GError **error)
{
  const GemModelShape *shape = &export->backbone->shape;
  for (guint d = 0; d < shape->n_domains; d++) {
    g_autofree char *own = gem_model_pathway_file(shape->domains[d]);
    if (strcmp(file, own) == 0) {
      g_autofree char *part = g_strdup_printf("pathway-%s", shape->domains[d]);
      gem_pathway_write(shape, shape->domains[d], writer);
      return add_part(export->backbone->parameters, part, export->values, types, writer, error);
    }
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "the model has no file %s", file);
  return FALSE;
}

static void
add_mark(const GemExport *export, GemGgufWriter *writer)
{
  if (export->all_licences) {
    gem_gguf_writer_set_bool(writer, GEM_CHECKPOINT_ALL_LICENCES, TRUE);
  }
}

static gboolean
add_file(const GemExport *export,
         const GemExportTypes *types,
         const char *file,
         GemGgufWriter *writer,
         GError **error)
{
  add_mark(export, writer);
  if (strcmp(file, "general.gguf") == 0) {
    gem_model_shape_write(&export->backbone->shape, writer);
    return add_general(export, types, writer, error) &&
           gem_centroids_write(export->centroids, "", writer, error);
  }
  return strcmp(file, "router.gguf") == 0 ? add_router(export, types, writer, error)
                                          : add_pathway(export, types, file, writer, error);
}

gboolean
gem_model_export_file(const GemExport *export,
                      const GemExportTypes *types,
                      const char *file,
                      const char *folder,
                      GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autofree char *path = g_build_filename(folder, file, NULL);
  return add_file(export, types, file, writer, error) && gem_gguf_writer_write(writer, path, error);
}

GPtrArray *
gem_model_export_files(const GemModelShape *shape)
{
  GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(files, g_strdup("general.gguf"));
  if (shape->n_domains > 0) {
    g_ptr_array_add(files, g_strdup("router.gguf"));
  }
  for (guint d = 0; d < shape->n_domains; d++) {
    g_ptr_array_add(files, gem_model_pathway_file(shape->domains[d]));
  }
  g_ptr_array_add(files, NULL);
  return files;
}

/* What is quantized already would lose a little once more. */
static gboolean
copy_router(const GemExport *export, const GemModelStage *stage, GError **error)
{
  char *text = NULL;
  gsize size = 0;
  if (!g_file_get_contents(export->router_file, &text, &size, error)) {
    return FALSE;
  }
  g_autoptr(GBytes) bytes = g_bytes_new_take(text, size);
  return gem_model_stage_add(stage, "router.gguf", bytes, error);
}

static gboolean
write_files(const GemExport *export,
            const GemExportTypes *types,
            const GPtrArray *files,
            const GemModelStage *stage,
            GError **error)
{
  for (guint i = 0; i + 1 < files->len; i++) {
    const char *file = files->pdata[i];
    gboolean copied = export->router_file != NULL && strcmp(file, "router.gguf") == 0;
    if (!(copied ? copy_router(export, stage, error)
                 : gem_model_export_file(export, types, file, gem_model_stage_get_folder(stage), error))) {
      return FALSE;
    }
    if (gem_progress_interrupted()) {
      g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted; nothing was written");
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_model_export(const GemExport *export, const GemExportTypes *types, const char *folder, GError **error)
{
  g_autoptr(GPtrArray) files = gem_model_export_files(&export->backbone->shape);
  g_autoptr(GemModelStage) stage =
      gem_manifest_check_name(export->name, error) ? gem_model_stage_new(folder, error) : NULL;
  return stage != NULL && write_files(export, types, files, stage, error) &&
         gem_model_stage_commit(stage, export->name, (const char *const *)files->pdata, error);
}

gboolean
gem_model_export_llama(const GemExport *export, const GemExportTypes *types, const char *path, GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  add_mark(export, writer);
  gem_model_shape_write_llama(&export->backbone->shape, writer);
  return add_general(export, types, writer, error) && gem_gguf_writer_write(writer, path, error);
}
