#include "bench/direct/gem-bench-router.h"

#include <math.h>
#include <time.h>

#include "kernels/gem-types.h"

#define EMBEDDING "token_embd.weight"
#define SEED      1u

/* How far a row of probabilities may be from 1 in all. */
#define TOLERANCE 1e-3

void
gem_bench_router_info_clear(GemBenchRouterInfo *self)
{
  g_clear_pointer(&self->types, g_free);
  g_clear_pointer(&self->embedding_type, g_free);
}

/* ---- what it is ---- */

static gboolean
is_encoder_matrix(const GemTensor *tensor)
{
  return g_str_has_prefix(tensor->name, "blk.") && !g_str_has_suffix(tensor->name, "_norm.weight");
}

/* The distinct types of the encoder's matrices. Transfer full. */
static char *
list_types(GemGguf *file)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  guint i;

  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);
    const char *name = gem_type_name(tensor->type);

    if (is_encoder_matrix(tensor) && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
      g_ptr_array_add(names, (gpointer)name);
    }
  }
  g_ptr_array_add(names, NULL);
  return g_strjoinv(", ", (char **)names->pdata);
}

static guint64
count_weights(GemGguf *file)
{
  guint64 weights = 0;
  guint i;

  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);

    if (!g_str_equal(tensor->name, EMBEDDING) && !g_str_has_suffix(tensor->name, "_norm.weight")) {
      weights += (guint64)tensor->rows * tensor->cols;
    }
  }
  return weights;
}

gboolean
gem_bench_router_inspect(const GemBenchModel *model, GemBenchRouterInfo *ret_info, GError **error)
{
  const GemRuntime *runtime = model->runtime;
  GemGguf *file = model->files->router;

  if (runtime->router == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s has no router", model->files->name);
    return FALSE;
  }
  *ret_info = (GemBenchRouterInfo){
      .shape = model->files->router_shape,
      .types = list_types(file),
      .embedding_type = g_strdup(gem_type_name(gem_gguf_find_tensor(file, EMBEDDING)->type)),
      .weights = count_weights(file),
      .resident = runtime->router_functions->resident_bytes(runtime->router),
      .state = runtime->router_functions->state_bytes(runtime->router),
  };
  return TRUE;
}

/* ---- turns through it ---- */

GemBenchRouterTimes *
gem_bench_router_times_new(void)
{
  GemBenchRouterTimes *self = g_new(GemBenchRouterTimes, 1);

  self->turn = g_array_new(FALSE, FALSE, sizeof(double));
  self->token = g_array_new(FALSE, FALSE, sizeof(double));
  return self;
}

void
gem_bench_router_times_free(GemBenchRouterTimes *self)
{
  g_array_unref(self->turn);
  g_array_unref(self->token);
  g_free(self);
}

static double
now_in_microseconds(void)
{
  struct timespec time;

  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

/* n rows that each sum to 1. */
static gboolean
are_probabilities(const float *values, guint n, guint domains)
{
  guint row, domain;

  for (row = 0; row < n; row++) {
    double sum = 0;

    for (domain = 0; domain < domains; domain++) {
      sum += values[row * domains + domain];
    }
    if (!(fabs(sum - 1) < TOLERANCE)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* One turn, whose time is added to `times` unless that is NULL. */
static gboolean
run_turn(const GemRuntime *runtime,
         GemRouterState *state,
         const guint32 *tokens,
         guint n,
         gboolean causal,
         GArray *times,
         GError **error)
{
  guint domains = runtime->shape->n_domains;
  g_autofree float *probabilities = g_new(float, (gsize)n *domains);
  GemRouterTurn turn = {
      .state = state, .tokens = tokens, .n = n, .causal = causal, .probabilities = probabilities};
  double started = now_in_microseconds(), taken;
  int result = runtime->router_functions->route(runtime->router, &turn, 1);

  taken = now_in_microseconds() - started;
  if (result < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the router could not route %u tokens", n);
    return FALSE;
  }
  if (!are_probabilities(probabilities, n, domains)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the router gave what are no probabilities");
    return FALSE;
  }
  if (times != NULL) {
    g_array_append_val(times, taken);
  }
  return TRUE;
}

static guint32 *
draw_tokens(const GemRuntime *runtime, guint n)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(SEED);
  guint32 *tokens = g_new(guint32, n);
  guint i;

  for (i = 0; i < n; i++) {
    tokens[i] = (guint32)g_rand_int_range(random, 0, (gint32)runtime->vocab);
  }
  return tokens;
}

gboolean
gem_bench_router_run(
    const GemBenchModel *model, guint prompt, guint tokens, GemBenchRouterTimes *times, GError **error)
{
  const GemRuntime *runtime = model->runtime;
  g_autofree guint32 *drawn = draw_tokens(runtime, prompt + tokens);
  GemRouterState *state = runtime->router_functions->state_new(runtime->router);
  gboolean done;
  guint i;

  if (state == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
    return FALSE;
  }
  done = run_turn(runtime, state, drawn, prompt, FALSE, times != NULL ? times->turn : NULL, error);
  for (i = 0; done && i < tokens; i++) {
    done = run_turn(runtime, state, drawn + prompt + i, 1, TRUE, times != NULL ? times->token : NULL, error);
  }
  runtime->router_functions->state_free(runtime->router, state);
  return done;
}
