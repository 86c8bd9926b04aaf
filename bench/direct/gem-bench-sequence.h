/* A sequence of random tokens that runs through the model as the engine would run it: prompts in blocks, then
 * a token a step. */
#pragma once

#include "bench/gem-bench-progress.h"
#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-sampler.h"
#include "daemon/engine/gem-step.h"

typedef struct {
  GemRuntime *runtime;
  GemStep *step;
  GemSequenceState *state;
  GemSampler *sampler; /* greedy */
  GRand *random;
  GemRouting routing;
  gboolean overruled; /* the router is asked, and its tokens run through `pathway` all the same */
  guint8 pathway;
  guint block;                /* rows of prefill a step */
  GemBenchProgress *progress; /* a step each; borrowed, NULL for none */
  guint mark;                 /* tokens that gem_bench_sequence_rewind goes back to */
  GemRouterState *mark_state; /* what the router remembered then */
  gboolean has_drawn;         /* FALSE: no logit was finite */
} GemBenchSequence;

/* No tokens yet; the same tokens for the same model every time. */
GemBenchSequence *
gem_bench_sequence_new(GemRuntime *runtime, const GemRouting *routing, guint block);
void
gem_bench_sequence_free(GemBenchSequence *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchSequence, gem_bench_sequence_free)

/* From now on every token runs through `route`, which is in memory, whatever the router makes of it: what an
 * answer costs whose tokens are routed there, with any router. */
void
gem_bench_sequence_overrule(GemBenchSequence *self, guint8 route);

/* Reads a prompt of n tokens: routes them, runs them, draws a token from the last one's logits. Steps: n /
 * block, rounded up. Errors: FAILED. */
gboolean
gem_bench_sequence_prefill(GemBenchSequence *self, guint n, GError **error);

/* Routes and runs one more token and draws the next. The token that runs is a random one in place of the one
 * drawn before: a model with random weights would say the same for ever. Errors: FAILED. */
gboolean
gem_bench_sequence_decode(GemBenchSequence *self, GError **error);

/* Remembers where the sequence stands, and goes back there. */
gboolean
gem_bench_sequence_set_mark(GemBenchSequence *self, GError **error);
gboolean
gem_bench_sequence_rewind(GemBenchSequence *self, GError **error);
