#include "bench/direct/gem-bench-sequence.h"

#include <string.h>

#define SEED 1u

GemBenchSequence *
gem_bench_sequence_new(GemRuntime *runtime, const GemRouting *routing, guint block)
{
  GemBenchSequence *self = g_new0(GemBenchSequence, 1);

  self->runtime = runtime;
  self->step = gem_step_new(runtime, NULL);
  self->state = gem_sequence_state_new(runtime, runtime->cluster_set);
  self->sampler = gem_sampler_new(0, 0, 1, SEED);
  self->random = g_rand_new_with_seed(SEED);
  self->routing = *routing;
  self->block = block;
  return self;
}

static void
drop_mark(GemBenchSequence *self)
{
  if (self->mark_state != NULL) {
    self->runtime->router_functions->state_free(self->runtime->router, self->mark_state);
    self->mark_state = NULL;
  }
}

void
gem_bench_sequence_free(GemBenchSequence *self)
{
  drop_mark(self);
  gem_sequence_state_free(self->runtime, self->state);
  gem_step_free(self->step);
  gem_sampler_free(self->sampler);
  g_rand_free(self->random);
  g_free(self);
}

void
gem_bench_sequence_overrule(GemBenchSequence *self, guint8 route)
{
  self->overruled = TRUE;
  self->pathway = route;
}

static void
draw(gpointer data, guint position, const float *logits)
{
  GemBenchSequence *self = data;
  guint32 token;

  self->has_drawn = gem_sampler_pick(self->sampler, logits, self->runtime->vocab, &token);
}

/* Runs the next `rows` tokens; draws when they are the last ones. */
static gboolean
run_rows(GemBenchSequence *self, guint rows, GError **error)
{
  GemStepSpan span = {
      .sequence = self->state,
      .rows = rows,
      .outputs_from = self->state->tokens->len - 1,
      .output = draw,
      .data = self,
  };

  if (!gem_step_run(self->step, &span, 1, error)) {
    return FALSE;
  }
  if (self->progress != NULL) {
    gem_bench_progress_step(self->progress, "tokens");
  }
  return TRUE;
}

/* Of the last n tokens, which have not run yet. */
static void
replace_routes(GemBenchSequence *self, guint n)
{
  GByteArray *routes = self->state->routes;

  if (self->overruled) {
    memset(routes->data + routes->len - n, self->pathway, n);
  }
}

static gboolean
append_random(GemBenchSequence *self, guint n, gboolean causal, GError **error)
{
  g_autofree guint32 *tokens = g_new(guint32, n);
  GemRouting routing = self->routing;
  guint i;

  for (i = 0; i < n; i++) {
    tokens[i] = (guint32)g_rand_int_range(self->random, 0, (gint32)self->runtime->vocab);
  }
  routing.causal = causal;
  if (!gem_sequence_state_append(self->runtime, self->state, tokens, n, &routing, NULL, error)) {
    return FALSE;
  }
  replace_routes(self, n);
  return TRUE;
}

static gboolean
check_drawn(const GemBenchSequence *self, GError **error)
{
  if (!self->has_drawn) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_bench_sequence_prefill(GemBenchSequence *self, guint n, GError **error)
{
  if (!append_random(self, n, FALSE, error)) {
    return FALSE;
  }
  while (gem_sequence_state_pending(self->state) > 0) {
    if (!run_rows(self, MIN(self->block, gem_sequence_state_pending(self->state)), error)) {
      return FALSE;
    }
  }
  return check_drawn(self, error);
}

gboolean
gem_bench_sequence_decode(GemBenchSequence *self, GError **error)
{
  return append_random(self, 1, TRUE, error) && run_rows(self, 1, error) && check_drawn(self, error);
}

/* A copy of what the router remembers, NULL when it remembers nothing. */
static gboolean
copy_router(const GemBenchSequence *self, GemRouterState **ret_state, GError **error)
{
  *ret_state = gem_sequence_state_copy_router(self->runtime, self->state);
  if (*ret_state == NULL && self->state->router_state != NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_bench_sequence_set_mark(GemBenchSequence *self, GError **error)
{
  drop_mark(self);
  self->mark = self->state->tokens->len;
  return copy_router(self, &self->mark_state, error);
}

gboolean
gem_bench_sequence_rewind(GemBenchSequence *self, GError **error)
{
  gem_sequence_state_truncate(self->state, self->mark);
  gem_sequence_state_set_router(self->runtime, self->state, g_steal_pointer(&self->mark_state));
  return copy_router(self, &self->mark_state, error);
}
