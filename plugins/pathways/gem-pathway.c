/*
 * The template of all pathways: one SwiGLU feed-forward a layer, whose result is added to the residual
 * stream. Compiled once for each name in GEM_PATHWAY_NAME: "general", whose weights lie in general.gguf, one
 * for each domain, whose weights lie in pathway-<domain>.gguf, and "learned" for the files of domains that
 * were learned on the device, of whatever name. The paper's domain-specific pathways.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

struct GemPathway {
  GemBackend backend;
  uint32_t layers;
  GemFeedForward *feed_forwards; /* [layers]; of NULLs where not loaded yet */
  GemCompiled *compiled;         /* in their place on a backend that takes pathways whole; else NULL */
};

static bool
is_general(void)
{
  return strcmp(GEM_PATHWAY_NAME, "general") == 0;
}

/* The domain whose weights are to be in the file; a learned one is what its file calls it. */
static const char *
wanted_domain(const GemTensorSource *source)
{
  bool is_learned = strcmp(GEM_PATHWAY_NAME, "learned") == 0;
  const char *name = is_learned ? source->find_string(source->context, "gem.learned.name") : NULL;
  return name != NULL ? name : GEM_PATHWAY_NAME;
}

/* A domain's file says which domain it holds and how many layers: weights in the wrong place must not answer.
 */
static bool
check_file(const GemTensorSource *source, const GemShape *shape, GemPluginError *error)
{
  if (is_general()) {
    return true;
  }

  const char *domain = source->find_string(source->context, "gempathway.domain");
  const char *wanted = wanted_domain(source);
  if (domain == NULL || strcmp(domain, wanted) != 0) {
    gem_plugin_set_error(error, "%s: key gempathway.domain is \"%s\", not \"%s\"", source->file,
                         domain != NULL ? domain : "", wanted);
    return false;
  }
  uint32_t layers;
  if (!gem_plugin_read_count(source, "gempathway.block_count", UINT32_MAX, &layers, error)) {
    return false;
  }
  if (layers != shape->layers) {
    gem_plugin_set_error(error, "%s: key gempathway.block_count is %u, the model has %u layers", source->file,
                         layers, shape->layers);
    return false;
  }
  return true;
}

/* ---- on a backend that takes pathways whole ---- */

static bool
find_part(const GemTensorSource *source,
          uint32_t layer,
          const char *part,
          size_t rows,
          size_t cols,
          GemTensorView *ret_tensor,
          GemPluginError *error)
{
  char name[64];
  snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
  return gem_plugin_find_tensor(source, name, rows, cols, ret_tensor, error);
}

static bool
compile(GemPathway *self, const GemTensorSource *source, const GemShape *shape, GemPluginError *error)
{
  const GemBackend *backend = &self->backend;
  size_t hidden = is_general() ? shape->ffn : shape->domain_ffn;
  GemFeedForwardTensors *tensors = calloc(shape->layers, sizeof *tensors);
  bool found = tensors != NULL;
  if (!found) {
    gem_plugin_set_error(error, "%s: out of memory", source->file);
  }
  for (uint32_t layer = 0; found && layer < shape->layers; layer++) {
    found = find_part(source, layer, "ffn_gate", hidden, shape->width, &tensors[layer].gate, error) &&
            find_part(source, layer, "ffn_up", hidden, shape->width, &tensors[layer].up, error) &&
            find_part(source, layer, "ffn_down", shape->width, hidden, &tensors[layer].down, error);
  }
  if (found) {
    const GemPathwayTensors pathway = {
        .name = GEM_PATHWAY_NAME, .layers = shape->layers, .feed_forwards = tensors};
    GemPluginError reason = {""};
    self->compiled = backend->functions->compile(backend->state, &pathway, &reason);
    if (self->compiled == NULL) {
      gem_plugin_set_error(error, "%s: %s", source->file, reason.message);
    }
  }
  free(tensors);
  return self->compiled != NULL;
}

/* ---- matrix by matrix ---- */

static GemMatrix *
load_part(const GemTensorSource *source,
          const GemBackend *backend,
          uint32_t layer,
          const char *part,
          size_t rows,
          size_t cols,
          GemPluginError *error)
{
  char name[64];
  snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
  return gem_plugin_load_matrix(source, backend, name, rows, cols, error);
}

static bool
load_layer(GemFeedForward *feed_forward,
           const GemTensorSource *source,
           const GemShape *shape,
           const GemBackend *backend,
           uint32_t layer,
           GemPluginError *error)
{
  size_t width = shape->width;
  size_t hidden = is_general() ? shape->ffn : shape->domain_ffn;
  feed_forward->gate = load_part(source, backend, layer, "ffn_gate", hidden, width, error);
  if (feed_forward->gate == NULL) {
    return false;
  }
  feed_forward->up = load_part(source, backend, layer, "ffn_up", hidden, width, error);
  if (feed_forward->up == NULL) {
    return false;
  }
  feed_forward->down = load_part(source, backend, layer, "ffn_down", width, hidden, error);
  return feed_forward->down != NULL;
}

static void
free_part(const GemBackend *backend, const GemMatrix *matrix)
{
  if (matrix != NULL) {
    backend->functions->matrix_free(backend->state, (GemMatrix *)matrix);
  }
}

static void
pathway_close(GemPathway *self)
{
  if (self->compiled != NULL) {
    self->backend.functions->compiled_free(self->backend.state, self->compiled);
  }
  for (uint32_t layer = 0; layer < self->layers; layer++) {
    free_part(&self->backend, self->feed_forwards[layer].gate);
    free_part(&self->backend, self->feed_forwards[layer].up);
    free_part(&self->backend, self->feed_forwards[layer].down);
  }
  free(self->feed_forwards);
  free(self);
}

static GemPathway *
pathway_open(const GemTensorSource *source,
             const GemShape *shape,
             const GemBackend *backend,
             GemPluginError *error)
{
  if (!check_file(source, shape, error)) {
    return NULL;
  }

  GemPathway *self = calloc(1, sizeof *self);
  GemFeedForward *feed_forwards = calloc(shape->layers, sizeof *feed_forwards);
  if (self == NULL || feed_forwards == NULL) {
    free(self);
    free(feed_forwards);
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return NULL;
  }
  *self = (GemPathway){.backend = *backend, .layers = shape->layers, .feed_forwards = feed_forwards};

  bool whole = backend->functions->compile != NULL;
  bool loaded = !whole || compile(self, source, shape, error);
  for (uint32_t layer = 0; loaded && !whole && layer < shape->layers; layer++) {
    loaded = load_layer(&feed_forwards[layer], source, shape, backend, layer, error);
  }
  if (!loaded) {
    pathway_close(self);
    return NULL;
  }
  return self;
}

static size_t
pathway_resident_bytes(const GemPathway *self)
{
  const GemBackendFunctions *backend = self->backend.functions;
  size_t bytes = sizeof *self + self->layers * sizeof *self->feed_forwards;
  if (self->compiled != NULL) {
    return bytes + backend->compiled_bytes(self->compiled);
  }
  for (uint32_t layer = 0; layer < self->layers; layer++) {
    const GemFeedForward *feed_forward = &self->feed_forwards[layer];
    bytes += backend->matrix_bytes(feed_forward->gate) + backend->matrix_bytes(feed_forward->up) +
             backend->matrix_bytes(feed_forward->down);
  }
  return bytes;
}

static void
pathway_apply(GemPathway *self, uint32_t layer, const float *u, size_t n, float *y)
{
  self->backend.functions->feed_forward(self->backend.state, &self->feed_forwards[layer], u, n, y);
}

static bool
pathway_try_apply(GemPathway *self, uint32_t layer, const float *u, size_t n, float *y, GemPluginError *error)
{
  if (self->compiled == NULL) {
    pathway_apply(self, layer, u, n, y);
    return true;
  }
  return self->backend.functions->run(self->backend.state, self->compiled, layer, u, n, y, error);
}

static const GemPathwayFunctions functions = {
    .open = pathway_open,
    .close = pathway_close,
    .resident_bytes = pathway_resident_bytes,
    .apply = pathway_apply,
    .try_apply = pathway_try_apply,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_PATHWAY,
                  GEM_PATHWAY_NAME,
                  "1.0",
                  "Apache-2.0",
                  "SwiGLU feed-forward of the pathway " GEM_PATHWAY_NAME,
                  functions)
