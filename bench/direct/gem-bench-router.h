/* The router of a model by itself: what it is, and turns of random tokens through it, timed. */
#pragma once

#include "bench/direct/gem-bench-model.h"
#include "bench/gem-bench-progress.h"

typedef struct {
  GemRouterShape shape;
  char *types; /* of the encoder's matrices: "Q6_K" */
  char *embedding_type;
  guint64 weights;  /* of all matrices but the embedding, of which a token uses one row: multiply-adds a
                       token */
  guint64 resident; /* bytes of the weights as the backend holds them, and of scratch */
  guint64 state;    /* bytes that a sequence takes */
} GemBenchRouterInfo;

void
gem_bench_router_info_clear(GemBenchRouterInfo *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemBenchRouterInfo, gem_bench_router_info_clear)

/* Of a model that has kept its files. Errors: MODEL, when it has no router. */
gboolean
gem_bench_router_inspect(const GemBenchModel *model, GemBenchRouterInfo *ret_info, GError **error);

/* What was measured: doubles, in microseconds. */
typedef struct {
  GArray *turn;  /* a turn of all tokens of the prompt, each of which sees later ones too; one a round */
  GArray *token; /* a token after it that is a turn of its own, as in writing; one a token */
} GemBenchRouterTimes;

GemBenchRouterTimes *
gem_bench_router_times_new(void);
void
gem_bench_router_times_free(GemBenchRouterTimes *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchRouterTimes, gem_bench_router_times_free)

/* Rounds of a prompt and then single tokens in a sequence of its own; the same tokens for the same model
 * every time. `times` NULL: they do not count. Errors: FAILED, when the router fails or gives what are no
 * probabilities. */
gboolean
gem_bench_router_run(
    const GemBenchModel *model, guint prompt, guint tokens, GemBenchRouterTimes *times, GError **error);
