#include "adaptation/trainer/gem-adapt-model.h"

#include <string.h>

#include "adaptation/gem-adapt-fields.h"
#include "adaptation/trainer/gem-adapt-documents.h"

/* ---- files ---- */

static GemGguf *
open_file(int fd, const char *name, const char *sha256, GError **error)
{
  g_autoptr(GemFileReader) reader = gem_file_reader_new_from_fd(fd, name, error);
  g_autofree char *found = reader != NULL && sha256 != NULL ? gem_file_reader_hash(reader, error) : NULL;
  if (reader == NULL || (sha256 != NULL && found == NULL)) {
    return NULL;
  }
  if (sha256 != NULL && strcmp(found, sha256) != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s: not the file that was announced",
                name);
    return NULL;
  }
  return gem_gguf_new_from_reader(reader, name, error);
}

static gboolean
read_router(GemAdaptModel *self, const GemAdaptStart *start, GError **error)
{
  const char *name = gem_adapt_file_names[GEM_ADAPT_ROUTER];
  g_autoptr(GemGguf) file = open_file(start->files[GEM_ADAPT_ROUTER], name, start->router_sha256, error);
  GemRouterShape shape;
  if (file == NULL || !gem_router_shape_read(file, &shape, error) ||
      !gem_router_shape_check_tensors(&shape, file, error)) {
    return FALSE;
  }
  g_auto(GStrv) domains = gem_gguf_get_string_array(file, "gemrouter.domains", error);
  if (domains == NULL) {
    return FALSE;
  }
  if (shape.vocab != self->shape.vocab ||
      !g_strv_equal((const char *const *)domains, (const char *const *)self->shape.domains)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s: of another model than general",
                name);
    return FALSE;
  }
  self->router = gem_router_network_new(&shape, (const char *const *)domains, GEM_ADAPT_HELD_OUT);
  self->router_values = gem_parameters_alloc(self->router->parameters);
  return gem_parameters_read_part(self->router->parameters, "router", file, self->router_values, error) &&
         gem_gguf_check_unchanged(file, error);
}

/* Index of the model's domain of that name; -1: there is none. */
static gint8
find_domain(const GemModelShape *shape, const char *name)
{
  for (guint d = 0; d < shape->n_domains; d++) {
    if (strcmp(shape->domains[d], name) == 0) {
      return (gint8)d;
    }
  }
  return -1;
}

static gboolean
read_pathways(GemAdaptModel *self, const GemAdaptStart *start, GError **error)
{
  for (guint i = 0; i < start->pathways->len; i++) {
    const GemAdaptPathway *pathway = &g_array_index(start->pathways, GemAdaptPathway, i);
    gint8 domain = find_domain(&self->shape, pathway->domain);
    g_autofree char *part = g_strconcat(GEM_ADAPT_PATHWAY_PREFIX, pathway->domain, NULL);
    g_autoptr(GemGguf) file = domain >= 0 ? open_file(pathway->fd, part, NULL, error) : NULL;
    if (domain < 0) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "%s: the model has no such domain",
                  part);
      return FALSE;
    }
    if (file == NULL || !gem_pathway_check(&self->shape, pathway->domain, file, error) ||
        !gem_parameters_read_part(self->backbone->parameters, part, file, self->values, error)) {
      return FALSE;
    }
    self->present[domain] = TRUE;
  }
  return TRUE;
}

/* What a new residual starts from. One that stands in for a domain starts from that one's. */
static gboolean
read_start_residual(GemAdaptModel *self, const GemAdaptStart *start, GError **error)
{
  int fd = start->files[GEM_ADAPT_PATHWAY];
  if (fd < 0 || (self->replaced >= 0 && self->present[self->replaced])) {
    return TRUE;
  }
  const char *name = gem_adapt_file_names[GEM_ADAPT_PATHWAY];
  g_autofree char *part = gem_adapt_model_part(self);
  g_autoptr(GemGguf) file = open_file(fd, name, NULL, error);
  g_autofree char *domain = file != NULL ? gem_gguf_get_string(file, "gempathway.domain", error) : NULL;
  return domain != NULL && gem_pathway_check(&self->shape, domain, file, error) &&
         gem_parameters_read_part(self->backbone->parameters, part, file, self->values, error);
}

/* ---- the networks ---- */

static gboolean
make_backbone(GemAdaptModel *self, const GemAdaptStart *start, GemGguf *general, GError **error)
{
  g_auto(GemModelShape) shape = {0};
  if (!gem_model_shape_read(general, &shape, error)) {
    return FALSE;
  }
  self->replaced = start->replaces != NULL ? find_domain(&shape, start->replaces) : -1;
  self->learned = self->replaced;
  if (self->replaced < 0) {
    if (shape.n_domains >= GEM_MAX_DOMAINS) {
      g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                  "the model has %u domains, and there is no room for one more", shape.n_domains);
      return FALSE;
    }
    self->learned = (gint8)shape.n_domains;
    shape.domains[shape.n_domains++] = g_strdup(start->name);
  }
  self->cluster_set = shape.n_cluster_sets > 0 ? 0 : -1;
  self->backbone = gem_backbone_new(&shape, GEM_ADAPT_HELD_OUT);
  self->values = gem_parameters_alloc(self->backbone->parameters);
  gem_parameters_init(self->backbone->parameters, start->seed, self->values);
  self->centroids = gem_centroids_new(self->backbone, start->seed);
  return gem_parameters_read_part(self->backbone->parameters, "general", general, self->values, error) &&
         gem_centroids_read(self->centroids, "", general, error);
}

/* What the tokenizer has to have, since documents need their borders. */
static gboolean
read_tokenizer(GemAdaptModel *self, GemGguf *general, GError **error)
{
  self->tokenizer = gem_tokenizer_new_from_gguf(general, error);
  if (self->tokenizer == NULL) {
    return FALSE;
  }
  if (gem_tokenizer_n_tokens(self->tokenizer) != self->shape.vocab ||
      gem_tokenizer_bos(self->tokenizer) == G_MAXUINT32 ||
      gem_tokenizer_eos(self->tokenizer) == G_MAXUINT32) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "general: its vocabulary is not the model's, or has no tokens for the ends of a text");
    return FALSE;
  }
  return TRUE;
}

static gboolean
read_all(GemAdaptModel *self, const GemAdaptStart *start, GError **error)
{
  const char *name = gem_adapt_file_names[GEM_ADAPT_GENERAL];
  g_autoptr(GemGguf) general = open_file(start->files[GEM_ADAPT_GENERAL], name, start->general_sha256, error);
  if (general == NULL || !gem_model_shape_read(general, &self->shape, error) ||
      !gem_model_shape_check_tensors(&self->shape, general, error) ||
      !gem_learned_check_name(&self->shape, start->name, start->replaces, error)) {
    return FALSE;
  }
  if (self->shape.n_domains == 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED,
                "general: a model without domains, so that none can be learned");
    return FALSE;
  }
  if (!read_tokenizer(self, general, error) || !make_backbone(self, start, general, error) ||
      !read_router(self, start, error) || !read_pathways(self, start, error) ||
      !read_start_residual(self, start, error) || !gem_gguf_check_unchanged(general, error)) {
    return FALSE;
  }
  self->present[self->learned] = TRUE;
  self->base =
      (GemLearnedBase){&self->shape, self->router->shape.width, start->general_sha256, start->router_sha256};
  return TRUE;
}

GemAdaptModel *
gem_adapt_model_new(const GemAdaptStart *start, GError **error)
{
  g_autoptr(GemAdaptModel) self = g_new0(GemAdaptModel, 1);
  return read_all(self, start, error) ? g_steal_pointer(&self) : NULL;
}

void
gem_adapt_model_free(GemAdaptModel *self)
{
  if (self == NULL) {
    return;
  }
  gem_model_shape_clear(&self->shape);
  g_clear_pointer(&self->tokenizer, gem_tokenizer_unref);
  g_clear_pointer(&self->centroids, gem_centroids_free);
  g_clear_pointer(&self->backbone, gem_backbone_free);
  g_clear_pointer(&self->router, gem_router_network_free);
  g_aligned_free(self->values);
  g_aligned_free(self->router_values);
  g_free(self);
}

/* ---- the residual ---- */

static char *
part_of(const GemAdaptModel *self, gint8 domain)
{
  return g_strconcat(GEM_ADAPT_PATHWAY_PREFIX, self->backbone->shape.domains[domain], NULL);
}

char *
gem_adapt_model_part(const GemAdaptModel *self)
{
  return part_of(self, self->learned);
}

/* Copies between that domain's place in `values` and an array of its own. */
static gsize
walk_residual(const GemAdaptModel *self, gint8 domain, float *copy, gboolean out)
{
  g_autofree char *part = part_of(self, domain);
  const GPtrArray *items = self->backbone->parameters->items;
  gsize done = 0;
  for (guint i = 0; i < items->len; i++) {
    const GemParameter *parameter = items->pdata[i];
    gsize size = parameter->rows * parameter->cols;
    if (strcmp(parameter->part, part) != 0) {
      continue;
    }
    if (copy != NULL && out) {
      memcpy(copy + done, self->values + parameter->offset, size * sizeof(float));
    } else if (copy != NULL) {
      memcpy(self->values + parameter->offset, copy + done, size * sizeof(float));
    }
    done += size;
  }
  return done;
}

float *
gem_adapt_model_copy_residual(const GemAdaptModel *self)
{
  float *copy = g_new(float, walk_residual(self, self->learned, NULL, TRUE));
  walk_residual(self, self->learned, copy, TRUE);
  return copy;
}

void
gem_adapt_model_put_residual(GemAdaptModel *self, const float *copy)
{
  walk_residual(self, self->learned, (float *)copy, FALSE);
}

void
gem_adapt_model_start_from(GemAdaptModel *self, gint8 domain)
{
  g_autofree float *copy = g_new(float, walk_residual(self, domain, NULL, TRUE));
  walk_residual(self, domain, copy, TRUE);
  walk_residual(self, self->learned, copy, FALSE);
}
