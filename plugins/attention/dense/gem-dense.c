/*
 * Plain causal attention: every token sees itself and all tokens before it. What a Llama-architecture model
 * runs, and the ablation "without SCAR" of a GEM.
 */
#include <stdlib.h>
#include <string.h>

#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

struct GemAttention {
  GemBackend backend;
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_dim;
};

static GemAttention *
dense_open(const GemTensorSource *source,
           const GemShape *shape,
           const GemBackend *backend,
           GemPluginError *error)
{
  GemAttention *self = malloc(sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return NULL;
  }
  *self = (GemAttention){
      .backend = *backend,
      .heads = shape->heads,
      .kv_heads = shape->kv_heads,
      .head_dim = shape->head_dim,
  };
  return self;
}

static void
dense_close(GemAttention *self)
{
  free(self);
}

static size_t
dense_resident_bytes(const GemAttention *self)
{
  return sizeof *self;
}

static bool
dense_needs_clusters(const GemAttention *self)
{
  return false;
}

/* Nothing reads them; all tokens are of one cluster. */
static void
dense_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  memset(clusters, 0, n);
}

static int
dense_attend(GemAttention *self, const GemAttentionRows *rows, float *out)
{
  size_t row_values = (size_t)self->heads * self->head_dim;
  for (size_t i = 0; i < rows->n; i++) {
    self->backend.functions->attend(self->backend.state, rows->q + i * row_values, self->heads,
                                    self->kv_heads, self->head_dim, &rows->keys, &rows->values, NULL,
                                    rows->first + i + 1, out + i * row_values);
  }
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = dense_open,
    .close = dense_close,
    .resident_bytes = dense_resident_bytes,
    .needs_clusters = dense_needs_clusters,
    .assign = dense_assign,
    .attend = dense_attend,
};

GEM_PLUGIN_DEFINE(
    GEM_PLUGIN_ATTENTION, "dense", "1.0", "Apache-2.0", "Causal attention over all earlier tokens", functions)
