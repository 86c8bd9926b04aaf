#include "daemon/engine/gem-sequence-state.h"

#include <string.h>

GemSequenceState *
gem_sequence_state_new(const GemRuntime *runtime, guint cluster_set)
{
  GemSequenceState *self = g_new0(GemSequenceState, 1);
  /* On the main loop, while the engine thread may be in the modules: both numbers were asked for before. */
  GemKvCacheShape shape = {
      .backend = runtime->backend,
      .tile_bytes = runtime->kv_tile_bytes,
      .layers = runtime->shape->layers,
      .form = runtime->kv_form,
      .limit = runtime->context,
      .clusters = runtime->clusters_needed ? runtime->shape->clusters[cluster_set] : 0,
      .window = runtime->window,
      .successors = runtime->shape->successors != 0,
  };

  /* As many as there may ever be: the array never moves, so that no copy of the text is left behind. */
  self->tokens = g_array_sized_new(FALSE, FALSE, sizeof(guint32), runtime->context);
  self->routes = g_byte_array_sized_new(runtime->context);
  self->asked = g_byte_array_sized_new(runtime->context);
  self->text_rows = g_array_sized_new(FALSE, FALSE, sizeof(GemTextRows), runtime->context);
  self->cluster_set = cluster_set;
  self->cache = gem_kv_cache_new(&shape);
  return self;
}

gsize
gem_sequence_state_get_bytes(const GemRuntime *runtime, const GemSequenceState *self)
{
  gsize router = self->router_state != NULL ? runtime->router_functions->state_bytes(runtime->router) : 0;

  return gem_kv_cache_bytes(self->cache) + router;
}

void
gem_sequence_state_free(GemRuntime *runtime, GemSequenceState *self)
{
  if (self == NULL) {
    return;
  }
  gem_sequence_state_set_router(runtime, self, NULL);
  runtime->sequence_bytes -= gem_kv_cache_bytes(self->cache);
  gem_kv_cache_free(self->cache);
  gem_sequence_state_truncate(self, 0);
  g_array_unref(self->tokens);
  g_byte_array_unref(self->routes);
  g_byte_array_unref(self->asked);
  g_array_unref(self->text_rows);
  g_free(self);
}

gboolean
gem_sequence_state_reserve(GemRuntime *runtime, GemSequenceState *self, guint rows, GError **error)
{
  gsize before = gem_kv_cache_bytes(self->cache);
  gboolean enough = gem_kv_cache_reserve(self->cache, self->cached, rows, error);

  runtime->sequence_bytes += gem_kv_cache_bytes(self->cache) - before;
  return enough;
}

void
gem_sequence_state_drop_memory(GemRuntime *runtime, GemSequenceState *self)
{
  gem_sequence_state_set_router(runtime, self, NULL);
  runtime->sequence_bytes -= gem_kv_cache_bytes(self->cache);
  gem_kv_cache_clear(self->cache);
  self->cached = 0;
}

gsize
gem_sequence_state_get_spare_bytes(const GemRuntime *runtime, const GemSequenceState *self)
{
  return self->busy ? 0 : gem_sequence_state_get_bytes(runtime, self);
}

void
gem_sequence_state_truncate(GemSequenceState *self, guint n)
{
  if (n >= self->tokens->len) {
    return;
  }
  explicit_bzero(&g_array_index(self->tokens, guint32, n), (self->tokens->len - n) * sizeof(guint32));
  explicit_bzero(self->routes->data + n, self->routes->len - n);
  g_array_set_size(self->tokens, n);
  g_byte_array_set_size(self->routes, n);
  g_byte_array_set_size(self->asked, n);
  g_array_set_size(self->text_rows, n);
  self->cached = MIN(self->cached, n);
  self->counted = MIN(self->counted, n);
}

GemRouterState *
gem_sequence_state_copy_router(GemRuntime *runtime, const GemSequenceState *self)
{
  if (self->router_state == NULL) {
    return NULL;
  }
  return runtime->router_functions->state_copy(runtime->router, self->router_state);
}

void
gem_sequence_state_set_router(GemRuntime *runtime, GemSequenceState *self, GemRouterState *state)
{
  gsize before = gem_sequence_state_get_bytes(runtime, self);

  if (self->router_state != NULL) {
    runtime->router_functions->state_free(runtime->router, self->router_state);
  }
  self->router_state = state;
  runtime->sequence_bytes += gem_sequence_state_get_bytes(runtime, self) - before;
}

void
gem_sequence_state_forget_pathways(GemSequenceState *self, GemPathwaySet pathways)
{
  for (guint i = 0; i < self->routes->len; i++) {
    if ((gem_pathway_set_of(self->routes->data[i]) & pathways) != 0) {
      self->routes->data[i] = GEM_ROUTE_GONE;
    }
  }
}

guint
gem_sequence_state_slide(GemRuntime *runtime, GemSequenceState *self, guint32 bos)
{
  guint n = self->tokens->len;
  guint start = n > 1 && g_array_index(self->tokens, guint32, 0) == bos ? 1 : 0;
  guint dropped = MIN(n - start, MAX(1, n / 2));

  if (dropped == 0) {
    return 0;
  }
  g_array_remove_range(self->tokens, start, dropped);
  g_byte_array_remove_range(self->routes, start, dropped);
  g_byte_array_remove_range(self->asked, start, dropped);
  g_array_remove_range(self->text_rows, start, dropped);
  /* What moved up left a copy behind it. */
  explicit_bzero(self->tokens->data + self->tokens->len * sizeof(guint32), dropped * sizeof(guint32));
  explicit_bzero(self->routes->data + self->routes->len, dropped);
  gem_sequence_state_set_router(runtime, self, NULL);
  self->cached = 0;
  self->counted -= MIN(dropped, self->counted);
  return dropped;
}

GemPathwaySet
gem_sequence_state_find_pathways(const GemSequenceState *self)
{
  GemPathwaySet set = 0;

  for (guint i = 0; i < self->routes->len; i++) {
    set |= gem_pathway_set_of(self->routes->data[i]);
  }
  return set;
}

guint
gem_sequence_state_pending(const GemSequenceState *self)
{
  return self->tokens->len - self->cached;
}
