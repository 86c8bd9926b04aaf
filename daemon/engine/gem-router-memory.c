#include "daemon/engine/gem-router-memory.h"

#include "dbus/gem-error.h"

static gsize
bytes_needed(const GemRuntime *runtime, const GemSequenceState *sequence)
{
  gboolean is_there = sequence != NULL && sequence->router_state != NULL;

  return runtime->router == NULL || is_there ? 0 : runtime->router_functions->state_bytes(runtime->router);
}

gboolean
gem_router_memory_fits(const GemRuntime *runtime, const GemSequenceState *sequence)
{
  gsize bytes = bytes_needed(runtime, sequence);

  return bytes == 0 || gem_budget_fits(&runtime->budget, bytes, 0);
}

/* Tokens from `first` on that are shown together: a turn, tokens one by one, or what the router has not seen.
 */
static guint
count_together(const GemSequenceState *sequence, guint first)
{
  const guint8 *asked = sequence->asked->data;
  guint8 next = asked[first] == GEM_ASKED_TURN_BEGIN ? GEM_ASKED_TURN : asked[first];
  guint n = 1;

  while (first + n < sequence->asked->len && asked[first + n] == next) {
    n++;
  }
  return n;
}

static gint
show_turn(GemRuntime *runtime, GemRouterState *state, const GemSequenceState *sequence, guint first, guint n)
{
  g_autofree float *probabilities = g_new(float, (gsize)n * runtime->shape->n_domains);
  const GemRouterTurn turn = {
      .state = state,
      .tokens = &g_array_index(sequence->tokens, guint32, first),
      .n = n,
      .causal = sequence->asked->data[first] == GEM_ASKED_CAUSAL,
      .probabilities = probabilities,
  };

  return runtime->router_functions->route(runtime->router, &turn, 1);
}

static gboolean
show_all(GemRuntime *runtime, GemRouterState *state, const GemSequenceState *sequence, GError **error)
{
  for (guint first = 0; first < sequence->asked->len;) {
    guint n = count_together(sequence, first);
    gboolean asked = sequence->asked->data[first] != GEM_ASKED_NOT;
    gint status = asked ? show_turn(runtime, state, sequence, first, n) : 0;

    if (status == GEM_ROUTER_STOPPED) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled");
      return FALSE;
    }
    if (status < 0) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the router ran out of memory on %u tokens", n);
      return FALSE;
    }
    first += n;
  }
  return TRUE;
}

gboolean
gem_router_memory_need(GemRuntime *runtime, GemSequenceState *sequence, GError **error)
{
  gsize bytes = bytes_needed(runtime, sequence);
  GemRouterState *state;

  if (bytes == 0) {
    return TRUE;
  }
  if (!gem_budget_make_room(&runtime->budget, bytes, 0)) {
    gem_budget_refuse(&runtime->budget, "what the router remembers of the text", bytes, error);
    runtime->counters.refusals++;
    return FALSE;
  }
  state = runtime->router_functions->state_new(runtime->router);
  if (state == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
    return FALSE;
  }
  if (!show_all(runtime, state, sequence, error)) {
    runtime->router_functions->state_free(runtime->router, state);
    return FALSE;
  }
  gem_sequence_state_set_router(runtime, sequence, state);
  return TRUE;
}
