/*
 * SCAR, the paper's Sparse Cross-Attention Router, made causal: a token belongs to the cluster of its nearest
 * learned centroid and sees the earlier tokens of its cluster, a local window, and the first token:
 *
 *   visible(i, j) = j <= i and (c_i == c_j or i - j < w or j == 0)
 */
#include <stdio.h>
#include <stdlib.h>

#include "plugins/attention/scar/gem-scar-index.h"
#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

struct GemAttention {
  GemBackend backend;
  GemShape shape;
  float **centroids; /* [layers][n_cluster_sets], each [k][width] of unit length */
  uint32_t *members; /* two lists of `capacity` positions: of the index, */
  uint32_t *visible; /* and of what one token sees; one allocation */
  size_t capacity;
};

static void
scar_close(GemAttention *self)
{
  size_t count = (size_t)self->shape.layers * self->shape.n_cluster_sets;
  for (size_t i = 0; i < count; i++) {
    free(self->centroids[i]);
  }
  free(self->centroids);
  free(self->members);
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
         2 * self->capacity * sizeof *self->members;
}

static bool
scar_needs_clusters(const GemAttention *self)
{
  return true;
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

static bool
reserve_positions(GemAttention *self, size_t count)
{
  if (count <= self->capacity) {
    return true;
  }
  size_t grown = count + count / 2;
  uint32_t *members = realloc(self->members, 2 * grown * sizeof *members);
  if (members == NULL) {
    return false;
  }
  self->members = members;
  self->visible = members + grown;
  self->capacity = grown;
  return true;
}

static int
scar_attend(GemAttention *self, const GemAttentionRows *rows, float *out)
{
  const GemShape *shape = &self->shape;
  size_t row_values = (size_t)shape->heads * shape->head_dim;
  uint32_t count = rows->first + (uint32_t)rows->n;
  if (!reserve_positions(self, count)) {
    return -1;
  }

  GemScarIndex index;
  gem_scar_index_init(&index, rows->clusters, count, self->members);
  for (size_t i = 0; i < rows->n; i++) {
    size_t n_visible =
        gem_scar_index_visible(&index, rows->first + (uint32_t)i, shape->window, self->visible);
    self->backend.functions->attend(self->backend.state, rows->q + i * row_values, shape->heads,
                                    shape->kv_heads, shape->head_dim, &rows->keys, &rows->values,
                                    self->visible, n_visible, out + i * row_values);
  }
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = scar_open,
    .close = scar_close,
    .resident_bytes = scar_resident_bytes,
    .needs_clusters = scar_needs_clusters,
    .assign = scar_assign,
    .attend = scar_attend,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_ATTENTION,
                  "scar",
                  "1.0",
                  "Apache-2.0",
                  "Sparse causal attention inside learned clusters of tokens",
                  functions)
