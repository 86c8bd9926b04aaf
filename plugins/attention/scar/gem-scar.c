/*
 * SCAR, the paper's Sparse Cross-Attention Router, made causal: a token belongs to the cluster of its nearest
 * learned centroid and sees the earlier tokens of its cluster, a local window, and the first token:
 *
 *   visible(i, j) = j <= i and (c_i == c_j or i - j < w or j == 0)
 *
 * or, of a model with scar.successors, what followed the tokens of its cluster: c_{j-1} in place of c_j.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plugins/attention/scar/gem-scar-visible.h"
#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

struct GemAttention {
  GemBackend backend;
  GemShape shape;
  float **centroids; /* [layers][n_cluster_sets], each [k][width] of unit length */
  GemScarVisible visible;
};

static void
scar_close(GemAttention *self)
{
  size_t count = (size_t)self->shape.layers * self->shape.n_cluster_sets;
  for (size_t i = 0; i < count; i++) {
    free(self->centroids[i]);
  }
  free(self->centroids);
  gem_scar_visible_clear(&self->visible);
  free(self);
}

static bool
load_centroids(GemAttention *self, const GemTensorSource *source, GemPluginError *error)
{
  const GemShape *shape = &self->shape;
  for (uint32_t layer = 0; layer < shape->layers; layer++) {
    for (uint32_t set = 0; set < shape->n_cluster_sets; set++) {
      char name[64];
      snprintf(name, sizeof name, "blk.%u.scar_centroids_%u.weight", layer, shape->clusters[set]);
      float *centroids =
          gem_plugin_load_floats(source, &self->backend, name, shape->clusters[set], shape->width, error);
      if (centroids == NULL) {
        return false;
      }
      self->centroids[layer * shape->n_cluster_sets + set] = centroids;
    }
  }
  return true;
}

static bool
check_clusters(const GemTensorSource *source, const GemShape *shape, GemPluginError *error)
{
  if (shape->n_cluster_sets == 0) {
    gem_plugin_set_error(error, "%s: the model has no SCAR centroids", source->file);
    return false;
  }
  for (uint32_t set = 0; set < shape->n_cluster_sets; set++) {
    if (shape->clusters[set] < 1 || shape->clusters[set] > GEM_SCAR_MAX_CLUSTERS) {
      gem_plugin_set_error(error, "%s: %u clusters, not 1 to %d", source->file, shape->clusters[set],
                           GEM_SCAR_MAX_CLUSTERS);
      return false;
    }
  }
  return true;
}

static GemAttention *
scar_open(const GemTensorSource *source,
          const GemShape *shape,
          const GemBackend *backend,
          GemPluginError *error)
{
  if (!check_clusters(source, shape, error)) {
    return NULL;
  }

  GemAttention *self = calloc(1, sizeof *self);
  float **centroids = calloc((size_t)shape->layers * shape->n_cluster_sets, sizeof *centroids);
  if (self == NULL || centroids == NULL) {
    free(self);
    free(centroids);
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return NULL;
  }
  *self = (GemAttention){.backend = *backend, .shape = *shape, .centroids = centroids};
  if (!load_centroids(self, source, error)) {
    scar_close(self);
    return NULL;
  }
  return self;
}

static size_t
scar_resident_bytes(const GemAttention *self)
{
  const GemShape *shape = &self->shape;
  size_t rows = 0;
  for (uint32_t set = 0; set < shape->n_cluster_sets; set++) {
    rows += shape->clusters[set];
  }
  return sizeof *self + shape->layers * rows * shape->width * sizeof(float) +
         gem_scar_visible_bytes(&self->visible);
}

static bool
scar_needs_clusters(const GemAttention *self)
{
  return true;
}

static uint32_t
scar_needs_window(const GemAttention *self)
{
  return self->shape.window;
}

static void
scar_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  const GemShape *shape = &self->shape;
  self->backend.functions->scar_assign(self->backend.state, u, n, shape->width,
                                       self->centroids[layer * shape->n_cluster_sets + cluster_set],
                                       shape->clusters[cluster_set], clusters);
}

static int
scar_attend(GemAttention *self,
            const GemKeyValueForm *form,
            const GemAttentionSpan *spans,
            size_t n,
            const float *q,
            float *out)
{
  if (!gem_scar_visible_find(&self->visible, spans, n, self->shape.window, self->shape.successors)) {
    return -1;
  }
  self->backend.functions->attend(self->backend.state, form, self->shape.heads, q, self->visible.groups,
                                  self->visible.n_groups, out);
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = scar_open,
    .close = scar_close,
    .resident_bytes = scar_resident_bytes,
    .needs_clusters = scar_needs_clusters,
    .needs_window = scar_needs_window,
    .assign = scar_assign,
    .attend = scar_attend,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_ATTENTION,
                  "scar",
                  "1.0",
                  "Apache-2.0",
                  "Sparse causal attention inside learned clusters of tokens",
                  functions)
