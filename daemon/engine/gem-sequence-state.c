#include "daemon/engine/gem-sequence-state.h"

#include <string.h>

#define FEW_PROBABILITIES 64

GemSequenceState *
gem_sequence_state_new(const GemRuntime *runtime, guint cluster_set)
{
  GemSequenceState *self = g_new0(GemSequenceState, 1);
  GemKvCacheShape shape = {
      .layers = runtime->shape->layers,
      .kv_heads = runtime->shape->kv_heads,
      .head_dim = runtime->shape->head_dim,
      .limit = runtime->context,
      .half = runtime->kv_half,
      .clusters = runtime->clusters_needed,
  };

  /* As many as there may ever be: the array never moves, so that no copy of the text is left behind. */
  self->tokens = g_array_sized_new(FALSE, FALSE, sizeof(guint32), runtime->context);
  self->routes = g_byte_array_sized_new(runtime->context);
  self->cluster_set = cluster_set;
  self->cache = gem_kv_cache_new(&shape);
  return self;
}

/* Bytes that the runtime accounts for this sequence. */
static gsize
bytes_of(const GemRuntime *runtime, const GemSequenceState *self)
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
  runtime->sequence_bytes -= bytes_of(runtime, self);
  if (self->router_state != NULL) {
    runtime->router_functions->state_free(runtime->router, self->router_state);
  }
  gem_kv_cache_free(self->cache);
  gem_sequence_state_truncate(self, 0);
  g_array_unref(self->tokens);
  g_byte_array_unref(self->routes);
  g_free(self);
}

guint8
gem_route_choose(const float *probabilities, guint n, float threshold)
{
  guint best = 0;

  for (guint i = 1; i < n; i++) {
    if (probabilities[i] > probabilities[best]) {
      best = i;
    }
  }
  return n > 0 && probabilities[best] > threshold ? (guint8)best : GEM_ROUTE_GENERAL;
}

/* probabilities [n][domains] of the turn; the router's memory moves on. */
static gboolean
ask_router(GemRuntime *runtime,
           GemSequenceState *self,
           const guint32 *tokens,
           guint n,
           gboolean causal,
           float *probabilities,
           GError **error)
{
  const GemRouterFunctions *functions = runtime->router_functions;

  if (self->router_state == NULL) {
    self->router_state = functions->state_new(runtime->router);
    if (self->router_state == NULL) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
      return FALSE;
    }
    runtime->sequence_bytes += functions->state_bytes(runtime->router);
  }
  if (functions->route(runtime->router, self->router_state, tokens, n, causal, probabilities) < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the router ran out of memory on %u tokens", n);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_sequence_state_append(GemRuntime *runtime,
                          GemSequenceState *self,
                          const guint32 *tokens,
                          guint n,
                          const GemRouting *routing,
                          float *probabilities,
                          GError **error)
{
  guint domains = runtime->router != NULL ? runtime->shape->n_domains : 0;
  float few[FEW_PROBABILITIES];
  g_autofree float *many = NULL;
  gboolean asked = domains > 0 && !routing->forced;

  g_assert(self->tokens->len + n <= runtime->context);
  if (probabilities == NULL && asked) {
    /* Those of one token, as each step of an answer appends it, need no memory of their own. */
    many = (gsize)n * domains > FEW_PROBABILITIES ? g_new(float, (gsize)n *domains) : NULL;
    probabilities = many != NULL ? many : few;
  }
  if (asked && !ask_router(runtime, self, tokens, n, routing->causal, probabilities, error)) {
    return FALSE;
  }
  if (!asked && probabilities != NULL) {
    memset(probabilities, 0, (gsize)n * runtime->shape->n_domains * sizeof(float));
  }
  for (guint i = 0; i < n; i++) {
    guint8 route = routing->forced ? routing->route : GEM_ROUTE_GENERAL;

    if (asked) {
      route = gem_route_choose(probabilities + (gsize)i * domains, domains, runtime->threshold);
    }
    g_byte_array_append(self->routes, &route, 1);
  }
  g_array_append_vals(self->tokens, tokens, n);
  return TRUE;
}

gboolean
gem_sequence_state_reserve(GemRuntime *runtime, GemSequenceState *self, guint rows, GError **error)
{
  gsize before = gem_kv_cache_bytes(self->cache);

  if (!gem_kv_cache_reserve(self->cache, rows, error)) {
    return FALSE;
  }
  runtime->sequence_bytes += gem_kv_cache_bytes(self->cache) - before;
  return TRUE;
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
  runtime->sequence_bytes -= bytes_of(runtime, self);
  if (self->router_state != NULL) {
    runtime->router_functions->state_free(runtime->router, self->router_state);
  }
  self->router_state = state;
  runtime->sequence_bytes += bytes_of(runtime, self);
}

guint
gem_sequence_state_slide(GemSequenceState *self, guint32 bos)
{
  guint n = self->tokens->len;
  guint start = n > 1 && g_array_index(self->tokens, guint32, 0) == bos ? 1 : 0;
  guint dropped = MIN(n - start, MAX(1, n / 2));

  if (dropped == 0) {
    return 0;
  }
  g_array_remove_range(self->tokens, start, dropped);
  g_byte_array_remove_range(self->routes, start, dropped);
  /* What moved up left a copy behind it. */
  explicit_bzero(self->tokens->data + self->tokens->len * sizeof(guint32), dropped * sizeof(guint32));
  explicit_bzero(self->routes->data + self->routes->len, dropped);
  self->cached = 0;
  self->counted -= MIN(dropped, self->counted);
  return dropped;
}

guint
gem_sequence_state_pending(const GemSequenceState *self)
{
  return self->tokens->len - self->cached;
}
