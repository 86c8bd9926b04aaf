#include "format/gem-model-files.h"

#include <string.h>

void
gem_model_files_free(GemModelFiles *self)
{
  if (self == NULL) {
    return;
  }
  gem_model_shape_clear(&self->shape);
  g_clear_pointer(&self->router, gem_gguf_unref);
  g_clear_pointer(&self->general, gem_gguf_unref);
  g_clear_pointer(&self->manifest, gem_manifest_free);
  g_free(self->name);
  g_free(self);
}

char *
gem_model_pathway_file(const char *domain)
{
  return g_strdup_printf("pathway-%s.gguf", domain);
}

/* A file of the folder, verified and parsed. */
static GemGguf *
open_listed(GemManifest *manifest, const char *file, gboolean all_of_it, GError **error)
{
  g_autofree char *path = gem_manifest_get_path(manifest, file);
  g_autoptr(GemFileReader) reader = NULL;
  g_autoptr(GBytes) bytes = NULL;
  if (!gem_manifest_open(manifest, file, &reader, &bytes, error)) {
    return NULL;
  }
  if (reader != NULL && all_of_it) {
    gem_file_reader_read_ahead(reader);
  }
  return reader != NULL ? gem_gguf_new_from_reader(reader, path, error)
                        : gem_gguf_new_from_bytes(bytes, path, error);
}

static gboolean
mismatch(GemGguf *file, GError **error, const char *what)
{
  g_autofree char *name = g_filename_display_name(gem_gguf_get_name(file));
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s: %s", name, what);
  return FALSE;
}

/* The router's tokens are the model's tokens, and its classes the model's domains, in the same order. */
static gboolean
check_router_fits(GemModelFiles *self, GError **error)
{
  if (self->router_shape.vocab != self->shape.vocab) {
    g_autofree char *what =
        g_strdup_printf("%u tokens, but the model has %u", self->router_shape.vocab, self->shape.vocab);
    return mismatch(self->router, error, what);
  }
  g_auto(GStrv) classes = gem_gguf_get_string_array(self->router, "gemrouter.domains", error);
  if (classes == NULL) {
    return FALSE;
  }
  if (!g_strv_equal((const char *const *)classes, (const char *const *)self->shape.domains)) {
    return mismatch(self->router, error,
                    "key gemrouter.domains: not the model's domains in the model's order");
  }
  return TRUE;
}

static gboolean
open_router(GemModelFiles *self, GError **error)
{
  self->router = open_listed(self->manifest, GEM_MODEL_ROUTER_FILE, TRUE, error);
  return self->router != NULL && gem_router_shape_read(self->router, &self->router_shape, error) &&
         gem_router_shape_check_tensors(&self->router_shape, self->router, error) &&
         check_router_fits(self, error);
}

static gboolean
open_folder(GemModelFiles *self, const char *dir, GemVerified *record, GError **error)
{
  self->manifest = gem_manifest_load(dir, error);
  if (self->manifest == NULL) {
    return FALSE;
  }
  gem_manifest_set_record(self->manifest, record);
  self->name = g_strdup(gem_manifest_get_name(self->manifest));
  self->general = open_listed(self->manifest, GEM_MODEL_GENERAL_FILE, TRUE, error);
  return self->general != NULL && gem_model_shape_read(self->general, &self->shape, error) &&
         gem_model_shape_check_tensors(&self->shape, self->general, error) &&
         (self->shape.n_domains == 0 || open_router(self, error));
}

static gboolean
open_lone_file(GemModelFiles *self, const char *path, GError **error)
{
  self->name = g_path_get_basename(path);
  if (g_str_has_suffix(self->name, ".gguf")) {
    self->name[strlen(self->name) - strlen(".gguf")] = '\0';
  }
  g_autoptr(GemFileReader) reader = gem_file_reader_open(path, error);
  if (reader == NULL) {
    return FALSE;
  }
  gem_file_reader_read_ahead(reader);
  self->general = gem_gguf_new_from_reader(reader, path, error);
  if (self->general == NULL || !gem_model_shape_read(self->general, &self->shape, error)) {
    return FALSE;
  }
  if (self->shape.n_domains > 0) {
    return mismatch(self->general, error, "a part of a model with domains: open its folder");
  }
  return gem_model_shape_check_tensors(&self->shape, self->general, error);
}

GemModelFiles *
gem_model_files_open(const char *path, GError **error)
{
  return gem_model_files_open_recorded(path, NULL, error);
}

GemModelFiles *
gem_model_files_open_recorded(const char *path, GemVerified *record, GError **error)
{
  g_return_val_if_fail(path != NULL, NULL);

  g_autoptr(GemModelFiles) self = g_new0(GemModelFiles, 1);
  gboolean opened = g_file_test(path, G_FILE_TEST_IS_DIR) ? open_folder(self, path, record, error)
                                                          : open_lone_file(self, path, error);
  return opened ? g_steal_pointer(&self) : NULL;
}

gboolean
gem_model_files_check_unchanged(GemModelFiles *self, GError **error)
{
  return gem_gguf_check_unchanged(self->general, error) &&
         (self->router == NULL || gem_gguf_check_unchanged(self->router, error));
}

void
gem_model_files_expect_pathway(GemModelFiles *self, const char *domain)
{
  g_autofree char *file = gem_model_pathway_file(domain);
  g_autofree char *path = gem_manifest_get_path(self->manifest, file);
  g_autoptr(GemFileReader) reader = gem_file_reader_open(path, NULL);
  if (reader != NULL) {
    gem_file_reader_read_ahead(reader);
  }
}

void
gem_model_files_identify_pathway(GemModelFiles *self, const char *domain, GemFileIdentity *ret_identity)
{
  g_autofree char *file = gem_model_pathway_file(domain);
  g_autofree char *path = gem_manifest_get_path(self->manifest, file);
  gem_file_identify(path, ret_identity);
}

const char *
gem_model_files_get_pathway_digest(GemModelFiles *self, const char *domain)
{
  g_autofree char *file = gem_model_pathway_file(domain);
  return gem_manifest_get_sha256(self->manifest, file);
}

GemGguf *
gem_model_files_open_pathway(GemModelFiles *self, const char *domain, GError **error)
{
  if (!g_strv_contains((const char *const *)self->shape.domains, domain)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "%s has no domain of that name",
                self->name);
    return NULL;
  }
  g_autofree char *file = gem_model_pathway_file(domain);
  g_autoptr(GemGguf) pathway = open_listed(self->manifest, file, FALSE, error);
  if (pathway == NULL || !gem_pathway_check(&self->shape, domain, pathway, error)) {
    return NULL;
  }
  return g_steal_pointer(&pathway);
}
