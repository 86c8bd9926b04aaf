#include "format/gem-learned-file.h"

#include <math.h>
#include <string.h>

#include "format/gem-gguf-private.h"

#define KEY_VERSION  "gem.learned.version"
#define KEY_NAME     "gem.learned.name"
#define KEY_REPLACES "gem.learned.replaces"
#define KEY_GENERAL  "gem.learned.general_sha256"
#define KEY_ROUTER   "gem.learned.router_sha256"

gboolean
gem_learned_base_of_model(const GemModelFiles *files, GemLearnedBase *ret_base, GError **error)
{
  if (files->router == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "%s has no domains, so that none can be learned", files->name);
    return FALSE;
  }
  *ret_base = (GemLearnedBase){
      .shape = &files->shape,
      .router_width = files->router_shape.width,
      .general_sha256 = gem_manifest_get_sha256(files->manifest, GEM_MODEL_GENERAL_FILE),
      .router_sha256 = gem_manifest_get_sha256(files->manifest, GEM_MODEL_ROUTER_FILE),
  };
  return TRUE;
}

gboolean
gem_learned_check_name(const GemModelShape *shape, const char *name, const char *replaces, GError **error)
{
  gboolean is_known = g_strv_contains((const char *const *)shape->domains, name);
  if (!gem_domain_name_is_plain(name)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "a domain's name is of 1 to %d letters a-z, digits and hyphens, a letter first, and not "
                "'general'",
                GEM_MAX_DOMAIN_NAME);
    return FALSE;
  }
  if (replaces == NULL && is_known) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "the model has a domain %s of its own",
                name);
    return FALSE;
  }
  if (replaces != NULL && (!is_known || strcmp(name, replaces) != 0)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "%s cannot be replaced by %s: a domain of the model is replaced by one of its name", replaces,
                name);
    return FALSE;
  }
  return TRUE;
}

/* ---- reading ---- */

/* A key that has to have this value. */
static gboolean
check_equal(GemGguf *file, const char *key, const char *wanted, GError **error)
{
  g_autofree char *found = gem_gguf_get_string(file, key, error);
  if (found == NULL) {
    return FALSE;
  }
  if (strcmp(found, wanted) != 0) {
    g_autofree char *field = g_strdup_printf("key %s", key);
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MISMATCH, field,
                         "the domain was learned on another file of the model");
  }
  return TRUE;
}

static gboolean
check_version(GemGguf *file, GError **error)
{
  guint64 version = 0;
  if (!gem_gguf_get_uint(file, KEY_VERSION, &version, error)) {
    return FALSE;
  }
  return version == GEM_LEARNED_VERSION ||
         gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, "key " KEY_VERSION,
                       "%" G_GUINT64_FORMAT ", but only %d is known", version, GEM_LEARNED_VERSION);
}

static gboolean
read_names(GemLearnedFile *self, const GemLearnedBase *base, GError **error)
{
  g_autofree char *name = gem_gguf_get_string(self->file, KEY_NAME, error);
  g_autofree char *replaces = name != NULL ? gem_gguf_get_string(self->file, KEY_REPLACES, error) : NULL;
  g_autoptr(GError) cause = NULL;
  if (replaces == NULL) {
    return FALSE;
  }
  if (*replaces == '\0') {
    g_clear_pointer(&replaces, g_free);
  }
  if (!gem_learned_check_name(base->shape, name, replaces, &cause)) {
    return gem_gguf_fail(self->file, error, GEM_FORMAT_ERROR_MALFORMED, "key " KEY_NAME, "%s",
                         cause->message);
  }
  self->name = g_steal_pointer(&name);
  self->replaces = g_steal_pointer(&replaces);
  return TRUE;
}

/* One value that is no number would make every answer of its domain none. */
static gboolean
check_finite(GemGguf *file, const GemTensor *tensor, GError **error)
{
  const guint8 *data = gem_gguf_read_tensor(file, tensor, error);
  if (data == NULL) {
    return FALSE;
  }
  gsize row_bytes = gem_type_row_bytes(tensor->type, tensor->cols);
  g_autofree float *values = g_new(float, tensor->cols);
  for (gsize row = 0; row < tensor->rows; row++) {
    gem_dequantize_row(tensor->type, data + row * row_bytes, values, tensor->cols);
    for (gsize col = 0; col < tensor->cols; col++) {
      if (!isfinite(values[col])) {
        g_autofree char *field = g_strdup_printf("tensor %s", tensor->name);
        return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MALFORMED, field,
                             "row %" G_GSIZE_FORMAT ", column %" G_GSIZE_FORMAT " is not finite", row, col);
      }
    }
  }
  return TRUE;
}

static gboolean
check_values(GemGguf *file, GError **error)
{
  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    if (!check_finite(file, gem_gguf_tensor(file, i), error)) {
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
read_single(GemGguf *file, const char *name, float *ret_values, GError **error)
{
  const GemTensor *tensor = gem_gguf_find_tensor(file, name);
  if (tensor->type != GEM_TYPE_F32) {
    g_autofree char *field = g_strdup_printf("tensor %s", name);
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_UNSUPPORTED, field, "of type %s; it has to be F32",
                         gem_type_name(tensor->type));
  }
  const void *data = gem_gguf_read_tensor(file, tensor, error);
  if (data == NULL) {
    return FALSE;
  }
  gem_dequantize_row(GEM_TYPE_F32, data, ret_values, tensor->cols);
  return TRUE;
}

static gboolean
read_row(GemLearnedFile *self, const GemLearnedBase *base, GError **error)
{
  self->width = base->router_width;
  self->row = g_new0(float, self->width);
  return read_single(self->file, GEM_LEARNED_ROW, self->row, error) &&
         read_single(self->file, GEM_LEARNED_BIAS, &self->bias, error);
}

GemLearnedFile *
gem_learned_file_new(GemGguf *file, const GemLearnedBase *base, GError **error)
{
  g_autoptr(GemLearnedFile) self = g_new0(GemLearnedFile, 1);
  self->file = gem_gguf_ref(file);
  if (!check_version(file, error) || !check_equal(file, KEY_GENERAL, base->general_sha256, error) ||
      !check_equal(file, KEY_ROUTER, base->router_sha256, error) || !read_names(self, base, error) ||
      !gem_pathway_check_learned(base->shape, self->name, base->router_width, file, error) ||
      !check_values(file, error) || !read_row(self, base, error)) {
    return NULL;
  }
  return g_steal_pointer(&self);
}

void
gem_learned_file_free(GemLearnedFile *self)
{
  if (self == NULL) {
    return;
  }
  gem_gguf_unref(self->file);
  g_free(self->name);
  g_free(self->replaces);
  g_free(self->row);
  g_free(self);
}

/* ---- writing ---- */

gboolean
gem_learned_file_write(const GemLearnedBase *base,
                       const char *name,
                       const char *replaces,
                       const float *row,
                       float bias,
                       GemGgufWriter *writer,
                       GError **error)
{
  if (!gem_learned_check_name(base->shape, name, replaces, error)) {
    return FALSE;
  }
  gem_pathway_write(base->shape, name, writer);
  gem_gguf_writer_set_uint(writer, KEY_VERSION, GEM_LEARNED_VERSION);
  gem_gguf_writer_set_string(writer, KEY_NAME, name);
  gem_gguf_writer_set_string(writer, KEY_REPLACES, replaces != NULL ? replaces : "");
  gem_gguf_writer_set_string(writer, KEY_GENERAL, base->general_sha256);
  gem_gguf_writer_set_string(writer, KEY_ROUTER, base->router_sha256);
  return gem_gguf_writer_add_tensor(writer, GEM_LEARNED_ROW, GEM_TYPE_F32, 1, base->router_width, row,
                                    error) &&
         gem_gguf_writer_add_tensor(writer, GEM_LEARNED_BIAS, GEM_TYPE_F32, 1, 1, &bias, error);
}
