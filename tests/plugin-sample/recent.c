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

static uint32_t
recent_needs_window(const GemAttention *self)
{
  return RECENT_TOKENS;
}

static void
recent_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
}

/* Arithmetic is the backend's: a module only says which positions are visible. A row at a time, for brevity;
 * rows of one call to the backend share what it reads. */
static int
recent_attend(GemAttention *self,
              const GemKeyValueForm *form,
              const GemAttentionSpan *spans,
              size_t n,
              const float *q,
              float *out)
{
  uint32_t row = 0;
  for (size_t s = 0; s < n; s++) {
    for (uint32_t i = 0; i < spans[s].n; i++) {
      uint32_t to = spans[s].first + i + 1;
      uint32_t from = to > RECENT_TOKENS ? to - RECENT_TOKENS : 0;
      GemKeyValuePart part = {
          .tiles = spans[s].in_order.tiles,
          .first_tile = spans[s].in_order.first_tile,
          .from = &from,
          .to = &to,
      };
      GemKeyValueGroup group = {.first_row = row++, .n = 1, .n_parts = 1, .parts = &part};
      self->backend.functions->attend(self->backend.state, form, self->shape.heads, q, &group, 1, out);
    }
  }
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = recent_open,
    .close = recent_close,
    .resident_bytes = recent_resident_bytes,
    .needs_clusters = recent_needs_clusters,
    .needs_window = recent_needs_window,
    .assign = recent_assign,
    .attend = recent_attend,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_ATTENTION,
                  "recent",
                  "0.1",
                  "Apache-2.0",
                  "Attention to the most recent tokens only",
                  functions)
