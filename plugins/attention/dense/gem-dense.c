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
  size_t rows_capacity;
  uint32_t *from; /* [rows_capacity] zeros */
  uint32_t *to;   /* [rows_capacity] */
  size_t spans_capacity;
  GemKeyValueGroup *groups; /* [spans_capacity] */
  GemKeyValuePart *parts;   /* [spans_capacity] */
};

static GemAttention *
dense_open(const GemTensorSource *source,
           const GemShape *shape,
           const GemBackend *backend,
           GemPluginError *error)
{
  GemAttention *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "%s: out of memory", source->file);
    return NULL;
  }
  self->backend = *backend;
  self->heads = shape->heads;
  return self;
}

static void
dense_close(GemAttention *self)
{
  free(self->from);
  free(self->to);
  free(self->groups);
  free(self->parts);
  free(self);
}

static size_t
dense_resident_bytes(const GemAttention *self)
{
  return sizeof *self + self->rows_capacity * 2 * sizeof *self->from +
         self->spans_capacity * (sizeof *self->groups + sizeof *self->parts);
}

static bool
dense_needs_clusters(const GemAttention *self)
{
  return false;
}

static uint32_t
dense_needs_window(const GemAttention *self)
{
  return UINT32_MAX;
}

/* Nothing reads them; all tokens are of one cluster. */
static void
dense_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  memset(clusters, 0, n);
}

/* Zeros stay where they are: a row sees from the first position on. */
static bool
reserve_rows(GemAttention *self, size_t rows)
{
  if (rows <= self->rows_capacity) {
    return true;
  }
  size_t grown = rows + rows / 2;
  uint32_t *from = calloc(grown, sizeof *from);
  uint32_t *to = malloc(grown * sizeof *to);
  if (from == NULL || to == NULL) {
    free(from);
    free(to);
    return false;
  }
  free(self->from);
  free(self->to);
  self->from = from;
  self->to = to;
  self->rows_capacity = grown;
  return true;
}

static bool
reserve_spans(GemAttention *self, size_t spans)
{
  if (spans <= self->spans_capacity) {
    return true;
  }
  GemKeyValueGroup *groups = malloc(spans * sizeof *groups);
  GemKeyValuePart *parts = malloc(spans * sizeof *parts);
  if (groups == NULL || parts == NULL) {
    free(groups);
    free(parts);
    return false;
  }
  free(self->groups);
  free(self->parts);
  self->groups = groups;
  self->parts = parts;
  self->spans_capacity = spans;
  return true;
}

static int
dense_attend(GemAttention *self,
             const GemKeyValueForm *form,
             const GemAttentionSpan *spans,
             size_t n,
             const float *q,
             float *out)
{
  size_t rows = 0;
  for (size_t s = 0; s < n; s++) {
    rows += spans[s].n;
  }
  if (!reserve_rows(self, rows) || !reserve_spans(self, n)) {
    return -1;
  }

  uint32_t row = 0;
  for (size_t s = 0; s < n; s++) {
    const GemAttentionSpan *span = &spans[s];
    self->parts[s] = (GemKeyValuePart){
        .tiles = span->in_order.tiles,
        .first_tile = span->in_order.first_tile,
        .from = self->from + row,
        .to = self->to + row,
    };
    self->groups[s] =
        (GemKeyValueGroup){.first_row = row, .n = span->n, .n_parts = 1, .parts = &self->parts[s]};
    for (uint32_t i = 0; i < span->n; i++) {
      self->to[row++] = span->first + i + 1;
    }
  }
  self->backend.functions->attend(self->backend.state, form, self->heads, q, self->groups, n, out);
  return 0;
}

static const GemAttentionFunctions functions = {
    .open = dense_open,
    .close = dense_close,
    .resident_bytes = dense_resident_bytes,
    .needs_clusters = dense_needs_clusters,
    .needs_window = dense_needs_window,
    .assign = dense_assign,
    .attend = dense_attend,
};

GEM_PLUGIN_DEFINE(
    GEM_PLUGIN_ATTENTION, "dense", "1.0", "Apache-2.0", "Causal attention over all earlier tokens", functions)
