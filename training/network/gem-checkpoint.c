#include "training/network/gem-checkpoint.h"

#include <string.h>

#include "format/gem-model-files.h"

#define CHECKPOINT_STEP "train.step"
#define VALUE           "value:" /* before the part and the name of a tensor */
#define CENTROIDS       "scar:"  /* before the name of one */

GemTokenizer *
gem_checkpoint_open_tokenizer(const char *path, GError **error)
{
  if (g_str_has_suffix(path, ".model")) {
    return gem_tokenizer_new_from_sentencepiece(path, error);
  }
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  return file != NULL ? gem_tokenizer_new_from_gguf(file, error) : NULL;
}

gboolean
gem_checkpoint_check_vocabulary(
    GemTokenizer *tokenizer, const char *path, guint vocab, const char *model, GError **error)
{
  guint n_tokens = gem_tokenizer_n_tokens(tokenizer);
  if (n_tokens != vocab) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has %u tokens, %s %u", path, n_tokens,
                model, vocab);
    return FALSE;
  }
  return TRUE;
}

/* Whether the file is a checkpoint of this program, whose tensors carry "value:" and their part. */
static gboolean
is_checkpoint(GemGguf *file)
{
  return gem_gguf_has_key(file, CHECKPOINT_STEP);
}

gboolean
gem_checkpoint_has_mark(GemGguf *file)
{
  gboolean marked = FALSE;
  return gem_gguf_has_key(file, GEM_CHECKPOINT_ALL_LICENCES) &&
         gem_gguf_get_bool(file, GEM_CHECKPOINT_ALL_LICENCES, &marked, NULL) && marked;
}

gboolean
gem_checkpoint_check_licences(gboolean marked, gboolean allowed, const char *path, GError **error)
{
  if (marked && !allowed) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s has learned from tasks that are not permissive: it is for measuring and must not ship; "
                "--all-licences goes on all the same, and marks what comes of it",
                path);
  }
  return !marked || allowed;
}

GemRouterCheckpoint *
gem_router_checkpoint_load(const char *path, gsize positions, GError **error)
{
  g_autoptr(GemGguf) file = gem_gguf_open(path, error);
  GemRouterShape shape;
  const char *embedding =
      file != NULL && is_checkpoint(file) ? "value:router/token_embd.weight" : "token_embd.weight";
  if (file == NULL || !gem_router_shape_read_with(file, embedding, &shape, error)) {
    return NULL;
  }
  g_auto(GStrv) domains = gem_gguf_get_string_array(file, "gemrouter.domains", error);
  if (domains == NULL) {
    return NULL;
  }
  g_autoptr(GemRouterCheckpoint) self = g_new0(GemRouterCheckpoint, 1);
  self->network = gem_router_network_new(&shape, (const char *const *)domains, positions);
  self->is_exported = !is_checkpoint(file);
  if (!gem_parameters_check_file(self->network->parameters, self->is_exported ? NULL : VALUE, file, error)) {
    return NULL;
  }
  self->values = gem_parameters_alloc(self->network->parameters);
  self->all_licences = gem_checkpoint_has_mark(file);
  gboolean read =
      !self->is_exported
          ? gem_parameters_read(self->network->parameters, VALUE, file, self->values, error)
          : gem_parameters_read_part(self->network->parameters, "router", file, self->values, error);
  return read ? g_steal_pointer(&self) : NULL;
}

void
gem_router_checkpoint_free(GemRouterCheckpoint *self)
{
  g_clear_pointer(&self->network, gem_router_network_free);
  g_clear_pointer(&self->values, g_aligned_free);
  g_free(self);
}

gboolean
gem_router_checkpoint_check(const GemRouterCheckpoint *self,
                            const char *path,
                            const GemModelShape *shape,
                            const char *model,
                            GError **error)
{
  if (self->network->shape.vocab != shape->vocab) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has %u tokens, %s %u", path,
                self->network->shape.vocab, model, shape->vocab);
    return FALSE;
  }
  if (!g_strv_equal((const char *const *)self->network->domains, (const char *const *)shape->domains)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has other domains than %s", path,
                model);
    return FALSE;
  }
  return TRUE;
}

/* Makes network, values and centroids for the shape that `file` states. Of a checkpoint, whose tensors carry
 * a prefix, they have to be there; of a model folder that has been looked at. */
static gboolean
make_backbone(GemBackboneCheckpoint *self, GemGguf *file, const char *prefix, gsize positions, GError **error)
{
  g_auto(GemModelShape) shape = {0};
  if (!gem_model_shape_read(file, &shape, error)) {
    return FALSE;
  }
  if (prefix != NULL) {
    g_autofree char *output = g_strconcat(prefix, "general/output.weight", NULL);
    shape.tied = gem_gguf_find_tensor(file, output) == NULL;
  }
  self->backbone = gem_backbone_new(&shape, positions);
  if (prefix != NULL && (!gem_parameters_check_file(self->backbone->parameters, prefix, file, error) ||
                         !gem_centroids_check_file(self->backbone, CENTROIDS, file, error))) {
    return FALSE;
  }
  self->values = gem_parameters_alloc(self->backbone->parameters);
  self->centroids = gem_centroids_new(self->backbone, 0);
  return TRUE;
}

static gboolean
read_folder(GemBackboneCheckpoint *self, const char *path, gsize positions, GError **error)
{
  g_autoptr(GemModelFiles) files = gem_model_files_open(path, error);
  if (files == NULL || !make_backbone(self, files->general, NULL, positions, error) ||
      !gem_parameters_read_part(self->backbone->parameters, "general", files->general, self->values, error) ||
      !gem_centroids_read(self->centroids, "", files->general, error)) {
    return FALSE;
  }
  const GemModelShape *shape = &self->backbone->shape;
  self->all_licences = gem_checkpoint_has_mark(files->general) ||
                       (files->router != NULL && gem_checkpoint_has_mark(files->router));
  for (guint d = 0; d < shape->n_domains; d++) {
    g_autofree char *part = g_strdup_printf("pathway-%s", shape->domains[d]);
    g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, shape->domains[d], error);
    if (pathway == NULL ||
        !gem_parameters_read_part(self->backbone->parameters, part, pathway, self->values, error)) {
      return FALSE;
    }
    self->all_licences |= gem_checkpoint_has_mark(pathway);
  }
  self->tokenizer = gem_tokenizer_new_from_gguf(files->general, error);
  return self->tokenizer != NULL;
}

static gboolean
read_checkpoint(GemBackboneCheckpoint *self, GemGguf *file, gsize positions, GError **error)
{
  self->all_licences = gem_checkpoint_has_mark(file);
  return make_backbone(self, file, VALUE, positions, error) &&
         gem_parameters_read(self->backbone->parameters, VALUE, file, self->values, error) &&
         gem_centroids_read(self->centroids, CENTROIDS, file, error);
}

GemBackboneCheckpoint *
gem_backbone_checkpoint_load(const char *path, gsize positions, GError **error)
{
  g_autoptr(GemBackboneCheckpoint) self = g_new0(GemBackboneCheckpoint, 1);
  g_autoptr(GemGguf) file = g_file_test(path, G_FILE_TEST_IS_DIR) ? NULL : gem_gguf_open(path, NULL);
  gboolean read = file != NULL && is_checkpoint(file) ? read_checkpoint(self, file, positions, error)
                                                      : read_folder(self, path, positions, error);
  return read ? g_steal_pointer(&self) : NULL;
}

gboolean
gem_checkpoint_check_heads(const GemModelShape *its,
                           const GemModelShape *wanted,
                           const char *path,
                           GError **error)
{
  const struct {
    const char *name;
    double its, wanted;
  } values[] = {{"layers", its->layers, wanted->layers},
                {"domains", its->n_domains, wanted->n_domains},
                {"heads", its->heads, wanted->heads},
                {"heads of keys", its->kv_heads, wanted->kv_heads},
                {"values a head", its->head_dim, wanted->head_dim},
                {"rotated values a head", its->rope_dim, wanted->rope_dim},
                {"as the base of the rotation", its->rope_base, wanted->rope_base}};
  for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
    if (values[i].its != values[i].wanted) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has %g %s, not %g", path,
                  values[i].its, values[i].name, values[i].wanted);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_checkpoint_check_mask(const GemModelShape *its,
                          const GemModelShape *wanted,
                          const char *path,
                          GError **error)
{
  if (wanted->n_cluster_sets > 0 &&
      (its->window != wanted->window || its->successors != wanted->successors)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s has a window of %u and scar.successors %u, not %u and %u", path, its->window,
                its->successors, wanted->window, wanted->successors);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_checkpoint_check_clusters(const GemModelShape *its,
                              const GemModelShape *wanted,
                              const char *path,
                              GError **error)
{
  if (its->n_cluster_sets != wanted->n_cluster_sets ||
      memcmp(its->clusters, wanted->clusters, its->n_cluster_sets * sizeof(guint)) != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s has other clusters", path);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_backbone_checkpoint_check_same(const GemBackboneCheckpoint *self,
                                   const GemBackbone *backbone,
                                   const char *path,
                                   GError **error)
{
  const GemModelShape *own = &self->backbone->shape, *other = &backbone->shape;
  return gem_parameters_check_same(backbone->parameters, self->backbone->parameters, path, error) &&
         gem_checkpoint_check_heads(own, other, path, error) &&
         gem_checkpoint_check_clusters(own, other, path, error);
}

gboolean
gem_backbone_checkpoint_describe(const GemBackbone *backbone,
                                 const GemCentroids *centroids,
                                 gboolean all_licences,
                                 GemGgufWriter *writer,
                                 GError **error)
{
  gem_model_shape_write(&backbone->shape, writer);
  gem_gguf_writer_set_string(writer, "general.architecture", "gem");
  if (all_licences) {
    gem_gguf_writer_set_bool(writer, GEM_CHECKPOINT_ALL_LICENCES, TRUE);
  }
  return gem_centroids_write(centroids, CENTROIDS, writer, error);
}

gboolean
gem_backbone_checkpoint_write(const GemBackboneCheckpoint *self, const char *path, GError **error)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_gguf_writer_set_uint(writer, CHECKPOINT_STEP, 0);
  return gem_parameters_write(self->backbone->parameters, VALUE, self->values, writer, error) &&
         gem_backbone_checkpoint_describe(self->backbone, self->centroids, self->all_licences, writer,
                                          error) &&
         gem_gguf_writer_write(writer, path, error);
}

void
gem_backbone_checkpoint_free(GemBackboneCheckpoint *self)
{
  g_clear_pointer(&self->centroids, gem_centroids_free);
  g_clear_pointer(&self->backbone, gem_backbone_free);
  g_clear_pointer(&self->values, g_aligned_free);
  g_clear_pointer(&self->tokenizer, gem_tokenizer_unref);
  g_free(self);
}
