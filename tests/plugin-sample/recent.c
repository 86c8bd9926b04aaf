/*
 * A plugin from outside the tree of gemd: attention to the most recent tokens only. It needs gem-plugin.h,
 * which `pkg-config gemd-plugin` finds, and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include <gem-plugin.h>

#define RECENT_TOKENS 8

struct GemAttention {
  GemBackend backend;
  GemShape shape;
};

static GemAttention *
recent_open(const GemTensorSource *source,
            const GemShape *shape,
            const GemBackend *backend,
            GemPluginError *error)
{
  GemAttention *self = malloc(sizeof *self);
  if (self == NULL) {
    snprintf(error->message, sizeof error->message, "out of memory");
    return NULL;
  }
  self->backend = *backend;
  self->shape = *shape;
  return self;
}

static void
recent_close(GemAttention *self)
{
  free(self);
}

static size_t
recent_resident_bytes(const GemAttention *self)
{
  return sizeof *self;
}

static bool
recent_needs_clusters(const GemAttention *self)
{
  return false;
}

static void
recent_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
}

/* Arithmetic is the backend's: a module only says which rows are visible. */
static int
recent_attend(GemAttention *self, const GemAttentionRows *rows, float *out)
{
  size_t row_values = (size_t)self->shape.heads * self->shape.head_dim;
  for (size_t i = 0; i < rows->n; i++) {
    uint32_t visible[RECENT_TOKENS];
    uint32_t position = rows->first + (uint32_t)i;
    uint32_t count = position + 1 < RECENT_TOKENS ? position + 1 : RECENT_TOKENS;
    for (uint32_t j = 0; j < count; j++) {
      visible[j] = position + 1 - count + j;
    }
    self->backend.functions->attend(self->backend.state, rows->q + i * row_values, self->shape.heads,
                                    self->shape.kv_heads, self->shape.head_dim, &rows->keys, &rows->values,
                                    visible, count, out + i * row_values);
  }
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = recent_open,
    .close = recent_close,
    .resident_bytes = recent_resident_bytes,
    .needs_clusters = recent_needs_clusters,
    .assign = recent_assign,
    .attend = recent_attend,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_ATTENTION,
                  "recent",
                  "0.1",
                  "Apache-2.0",
                  "Attention to the most recent tokens only",
                  functions)
