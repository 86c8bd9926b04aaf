#include "daemon/engine/gem-append.h"

#include <string.h>

#include "daemon/engine/gem-router-memory.h"
#include "dbus/gem-error.h"

/* Probabilities that need no memory of their own: those of one token, as each step of an answer appends it.
 */
#define FEW_PROBABILITIES GEM_MAX_PATHWAYS

/* Of the first n. */
static guint
find_likeliest(const float *probabilities, guint n)
{
  guint best = 0;

  for (guint i = 1; i < n; i++) {
    if (probabilities[i] > probabilities[best]) {
      best = i;
    }
  }
  return best;
}

guint8
gem_route_choose(const float *probabilities, guint domains, guint n, float threshold)
{
  guint best = find_likeliest(probabilities, n);
  float sum = 0;

  if (n > domains && (best < domains || probabilities[best] <= threshold)) {
    best = find_likeliest(probabilities, domains);
    for (guint i = 0; i < domains; i++) {
      sum += probabilities[i];
    }
    threshold *= sum;
    n = domains;
  }
  return n > 0 && probabilities[best] > threshold ? (guint8)best : GEM_ROUTE_GENERAL;
}

guint
gem_routing_count_classes(const GemRuntime *runtime, const GemRouting *routing)
{
  return runtime->shape->n_domains + (routing->learned != NULL ? routing->learned->n : 0);
}

static gboolean
asks_router(const GemRuntime *runtime, const GemAppend *append)
{
  return runtime->router != NULL && !append->routing.forced;
}

/* A router of an older ABI has no turns with classes of their own. */
static gint
run_router(const GemRuntime *runtime,
           const GemRouterTurn *turns,
           const GemRouterClasses *const *classes,
           guint n)
{
  const GemRouterFunctions *functions = runtime->router_functions;

  return runtime->row_width > 0 ? functions->route_classes(runtime->router, turns, classes, n)
                                : functions->route(runtime->router, turns, n);
}

/* Fills the probabilities of the turns whose routes are not forced; the router's memory moves on. */
static gboolean
ask_router(GemRuntime *runtime, const GemAppend *appends, guint count, GError **error)
{
  GemRouterTurn turns[GEM_APPEND_MOST];
  const GemRouterClasses *classes[GEM_APPEND_MOST];
  guint n_turns = 0;
  gsize n_tokens = 0;
  gint status;

  for (guint i = 0; i < count; i++) {
    const GemAppend *append = &appends[i];

    if (!asks_router(runtime, append)) {
      continue;
    }
    if (!gem_router_memory_need(runtime, append->sequence, error)) {
      return FALSE;
    }
    classes[n_turns] = append->routing.learned != NULL ? &append->routing.learned->classes : NULL;
    turns[n_turns++] = (GemRouterTurn){
        .state = append->sequence->router_state,
        .tokens = append->tokens,
        .n = append->n,
        .causal = append->routing.causal,
        .probabilities = append->probabilities,
    };
    n_tokens += append->n;
  }
  status = n_turns > 0 ? run_router(runtime, turns, classes, n_turns) : 0;
  if (status == GEM_ROUTER_STOPPED) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled");
    return FALSE;
  }
  if (status < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED,
                "the router ran out of memory on %" G_GSIZE_FORMAT " tokens", n_tokens);
    return FALSE;
  }
  return TRUE;
}

/* Starts to read a pathway that tokens are routed to, once for all tokens of an append. */
static void
expect(const GemRuntime *runtime, guint8 route, GemPathwaySet *expected)
{
  GemPathwaySet bit = gem_pathway_set_of(route);

  if ((bit & ~*expected) != 0) {
    *expected |= bit;
    gem_pager_expect(runtime->pager, route);
  }
}

/* Where the router sends a token with these probabilities. */
static guint8
choose_route(const GemRuntime *runtime, const GemRouting *routing, const float *probabilities)
{
  guint domains = runtime->shape->n_domains;
  guint8 column = gem_route_choose(probabilities, domains, gem_routing_count_classes(runtime, routing),
                                   runtime->threshold);

  return column < domains || column == GEM_ROUTE_GENERAL ? column
                                                         : routing->learned->routes[column - domains];
}

/* The i-th token of the append. */
static void
note_asked(const GemAppend *append, guint i, gboolean asked)
{
  guint8 in_turn = i == 0 ? GEM_ASKED_TURN_BEGIN : GEM_ASKED_TURN;
  guint8 how = append->routing.causal ? GEM_ASKED_CAUSAL : in_turn;

  how = asked ? how : GEM_ASKED_NOT;
  g_byte_array_append(append->sequence->asked, &how, 1);
}

/* Of a block of a text of n tokens, `count` of which are alike. */
static guint8
count_rows(guint count, guint n)
{
  return (guint8)MAX(1, (guint64)count * MIN(n, GEM_PLACEMENT_BLOCK) / n);
}

/* After their routes. */
static void
append_text_rows(const GemAppend *append)
{
  GemSequenceState *sequence = append->sequence;
  const guint8 *routes = sequence->routes->data + sequence->routes->len - append->n;
  guint counts[G_MAXUINT8 + 1] = {0};

  for (guint i = 0; i < append->n; i++) {
    counts[routes[i]]++;
  }
  for (guint i = 0; i < append->n; i++) {
    GemTextRows rows = {.general = count_rows(append->n, append->n),
                        .routed = count_rows(counts[routes[i]], append->n)};
    g_array_append_val(sequence->text_rows, rows);
  }
}

static void
append_routed(const GemRuntime *runtime, const GemAppend *append)
{
  guint classes = gem_routing_count_classes(runtime, &append->routing);
  gboolean asked = asks_router(runtime, append);
  GemPathwaySet expected = 0;

  if (!asked) {
    memset(append->probabilities, 0, (gsize)append->n * classes * sizeof(float));
  }
  for (guint i = 0; i < append->n; i++) {
    guint8 route = append->routing.forced ? append->routing.route : GEM_ROUTE_GENERAL;

    if (asked) {
      route = choose_route(runtime, &append->routing, append->probabilities + (gsize)i * classes);
    }
    g_byte_array_append(append->sequence->routes, &route, 1);
    note_asked(append, i, asked);
    expect(runtime, route, &expected);
  }
  append_text_rows(append);
  g_array_append_vals(append->sequence->tokens, append->tokens, append->n);
}

gboolean
gem_append_all(GemRuntime *runtime, const GemAppend *appends, guint count, GError **error)
{
  g_assert(count <= GEM_APPEND_MOST);
  for (guint i = 0; i < count; i++) {
    g_assert(appends[i].sequence->tokens->len + appends[i].n <= runtime->context);
  }
  if (!ask_router(runtime, appends, count, error)) {
    return FALSE;
  }
  for (guint i = 0; i < count; i++) {
    append_routed(runtime, &appends[i]);
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
  float few[FEW_PROBABILITIES];
  g_autofree float *many = NULL;
  gsize count = (gsize)n * gem_routing_count_classes(runtime, routing);
  GemAppend append = {
      .sequence = self, .tokens = tokens, .n = n, .routing = *routing, .probabilities = probabilities};

  if (probabilities == NULL) {
    many = count > FEW_PROBABILITIES ? g_new(float, count) : NULL;
    append.probabilities = many != NULL ? many : few;
  }
  return gem_append_all(runtime, &append, 1, error);
}
