/* The forward pass: against the one in double precision, and against itself however its rows come. */
#include <glib/gstdio.h>
#include <string.h>

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-reference.h"
#include "tests/reference-forward.h"

enum { N = 41 };

/* A key or value that falls on the other side of a rounding step moves a logit by less than this. */
#define TOLERANCE 0.005

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
} Scene;

static Scene *
scene_new(GemTestEngine *test)
{
  Scene *scene = g_new0(Scene, 1);

  scene->test = test;
  scene->runtime = gem_test_engine_open_runtime(test, &scene->files);
  scene->step = gem_step_new(scene->runtime, NULL);
  return scene;
}

static void
scene_free(Scene *scene)
{
  gem_step_free(scene->step);
  g_assert_cmpuint(scene->runtime->sequence_bytes, ==, 0);
  gem_runtime_close(scene->runtime);
  gem_model_files_free(scene->files);
  gem_test_engine_free(scene->test);
  g_free(scene);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

/* N tokens of any kind, the same for the same seed. */
static void
fill_tokens(const Scene *scene, guint32 seed, guint32 *tokens)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);

  for (guint i = 0; i < N; i++) {
    tokens[i] = (guint32)g_rand_int_range(random, 0, (gint32)scene->runtime->vocab);
  }
}

/* A sequence of these tokens, routed in runs of five: general, domain 0, 1, 2, general ... */
static GemSequenceState *
forced_sequence(const Scene *scene, const guint32 *tokens, guint cluster_set)
{
  GemSequenceState *sequence = gem_sequence_state_new(scene->runtime, cluster_set);
  guint domains = scene->runtime->shape->n_domains;

  for (guint i = 0; i < N; i++) {
    guint turn = i / 5 % (domains + 1);
    GemRouting routing = {.forced = TRUE, .route = turn == 0 ? GEM_ROUTE_GENERAL : (guint8)(turn - 1)};

    g_assert_true(gem_sequence_state_append(scene->runtime, sequence, tokens + i, 1, &routing, NULL, NULL));
  }
  return sequence;
}

/* Where the outputs of a step go. */
typedef struct {
  gsize width; /* values a row */
  float *rows; /* [N][width] */
  guint seen;
} Outputs;

static void
keep_output(gpointer data, guint position, const float *values)
{
  Outputs *outputs = data;

  memcpy(outputs->rows + position * outputs->width, values, outputs->width * sizeof(float));
  outputs->seen++;
}

/* All outputs of a sequence run in blocks of `block` rows: [N][width]; free with g_free. */
static float *
run_in_blocks(const Scene *scene, GemSequenceState *sequence, guint block, gboolean hidden)
{
  Outputs outputs = {.width = hidden ? scene->runtime->shape->width : scene->runtime->shape->vocab};
  GemStepSpan span = {.sequence = sequence, .hidden = hidden, .output = keep_output, .data = &outputs};
  g_autoptr(GError) error = NULL;

  outputs.rows = g_new(float, N *outputs.width);
  while (gem_sequence_state_pending(sequence) > 0) {
    span.rows = MIN(block, gem_sequence_state_pending(sequence));
    g_assert_true(gem_step_run(scene->step, &span, 1, &error));
    g_assert_no_error(error);
  }
  g_assert_cmpuint(outputs.seen, ==, N);
  return outputs.rows;
}

/* Runs the forced sequence and compares all its logits with the reference. */
static void
check_against_reference(Scene *scene, int cluster_set)
{
  guint32 tokens[N];
  GemSequenceState *sequence;
  g_autofree float *logits = NULL;
  g_autofree double *expected = NULL;

  fill_tokens(scene, 3, tokens);
  sequence = forced_sequence(scene, tokens, (guint)MAX(cluster_set, 0));
  logits = run_in_blocks(scene, sequence, 16, FALSE);
  expected = reference_forward(scene->files, tokens, N, sequence->routes->data, cluster_set,
                               scene->runtime->kv_form.half, FALSE);
  gem_test_assert_close(logits, expected, (gsize)N * scene->runtime->shape->vocab, TOLERANCE);
  gem_sequence_state_free(scene->runtime, sequence);
}

static void
test_scar(gconstpointer data)
{
  guint set = GPOINTER_TO_UINT(data);
  g_autoptr(Scene) scene = scene_new(gem_test_engine_new());

  g_assert_true(scene->runtime->clusters_needed);
  check_against_reference(scene, (int)set);
}

/* Of a model whose tokens look for what followed their cluster's. */
static void
test_successors(gconstpointer data)
{
  guint set = GPOINTER_TO_UINT(data);
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;

  test->shape.successors = 1;
  gem_test_engine_write(test, FALSE);
  scene = scene_new(test);
  g_assert_true(scene->runtime->plugin_shape.successors);
  check_against_reference(scene, (int)set);
}

static void
test_half_cache(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;

  test->config.kv_half = TRUE;
  scene = scene_new(test);
  check_against_reference(scene, 0);
}

static void
test_dense(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;

  test->config.attention = "dense";
  test->config.kv_half = TRUE;
  scene = scene_new(test);
  g_assert_false(scene->runtime->clusters_needed);
  check_against_reference(scene, -1);
}

/* A Llama-architecture file: grouped-query attention, output tied or of its own. */
static void
test_llama(gconstpointer tied)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;

  test->shape.heads = 4;
  test->shape.kv_heads = 2;
  test->shape.head_dim = 16;
  test->shape.rope_dim = 16;
  test->shape.tied = GPOINTER_TO_INT(tied);
  gem_test_engine_write(test, TRUE);
  scene = scene_new(test);
  g_assert_cmpuint(scene->runtime->shape->n_domains, ==, 0);
  g_assert_cmpuint(scene->runtime->shape->kv_heads, ==, 2);
  g_assert_true(scene->runtime->shape->tied == test->shape.tied);
  g_assert_null(scene->runtime->router);
  check_against_reference(scene, -1);
}

/* The final hidden state, after the output norm. */
static void
test_hidden(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;
  guint32 tokens[N];
  GemSequenceState *sequence;
  g_autofree float *states = NULL;
  g_autofree double *expected = NULL;

  test->config.kv_half = TRUE;
  scene = scene_new(test);
  fill_tokens(scene, 4, tokens);
  sequence = forced_sequence(scene, tokens, 0);
  states = run_in_blocks(scene, sequence, N, TRUE);
  expected = reference_forward(scene->files, tokens, N, sequence->routes->data, 0,
                               scene->runtime->kv_form.half, TRUE);
  gem_test_assert_close(states, expected, (gsize)N * scene->runtime->shape->width, TOLERANCE);
  gem_sequence_state_free(scene->runtime, sequence);
}

/* The routes are those of the rule over the router's own probabilities, and the logits those of the routes.
 */
static void
test_router(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;
  guint32 tokens[N];
  float probabilities[N * 3];
  GemSequenceState *sequence;
  GemRouterState *state;
  GemRouting routing = {0};
  guint routed = 0;
  g_autofree float *logits = NULL;
  g_autofree double *expected = NULL;

  test->config.threshold_percent = 40;
  test->config.kv_half = TRUE;
  scene = scene_new(test);
  fill_tokens(scene, 5, tokens);
  sequence = gem_sequence_state_new(scene->runtime, 0);
  g_assert_true(gem_sequence_state_append(scene->runtime, sequence, tokens, N, &routing, NULL, NULL));

  state = scene->runtime->router_functions->state_new(scene->runtime->router);
  GemRouterTurn turn = {.state = state, .tokens = tokens, .n = N, .probabilities = probabilities};
  scene->runtime->router_functions->route(scene->runtime->router, &turn, 1);
  scene->runtime->router_functions->state_free(scene->runtime->router, state);
  for (guint i = 0; i < N; i++) {
    const float *p = probabilities + (gsize)3 * i;
    guint best = p[1] > p[0] ? 1 : 0;

    best = p[2] > p[best] ? 2 : best;
    g_assert_cmpuint(sequence->routes->data[i], ==, p[best] > 0.4F ? best : GEM_ROUTE_GENERAL);
    routed += p[best] > 0.4F ? 1 : 0;
  }
  g_assert_cmpuint(routed, >, 0);
  g_assert_cmpuint(routed, <, N);

  logits = run_in_blocks(scene, sequence, 16, FALSE);
  expected = reference_forward(scene->files, tokens, N, sequence->routes->data, 0,
                               scene->runtime->kv_form.half, FALSE);
  gem_test_assert_close(logits, expected, (gsize)N * scene->runtime->shape->vocab, TOLERANCE);
  gem_sequence_state_free(scene->runtime, sequence);
}

/* Prefill in blocks and token by token give the same logits. */
static void
test_blocks(void)
{
  g_autoptr(Scene) scene = scene_new(gem_test_engine_new());
  static const guint blocks[] = {N, 16, 7, 1};
  g_autofree float *first = NULL;
  guint32 tokens[N];

  fill_tokens(scene, 6, tokens);
  for (guint i = 0; i < G_N_ELEMENTS(blocks); i++) {
    GemSequenceState *sequence = forced_sequence(scene, tokens, 0);
    g_autofree float *logits = run_in_blocks(scene, sequence, blocks[i], FALSE);
    gsize count = (gsize)N * scene->runtime->shape->vocab;

    if (first == NULL) {
      first = g_steal_pointer(&logits);
    } else {
      g_autofree double *expected = gem_test_to_doubles(first, count);

      gem_test_assert_close(logits, expected, count, 1e-6);
    }
    gem_sequence_state_free(scene->runtime, sequence);
  }
}

/* Two sequences of different lengths in one step: not a bit differs from what each gives alone. */
static void
test_together(void)
{
  g_autoptr(Scene) scene = scene_new(gem_test_engine_new());
  gsize width = scene->runtime->shape->vocab;
  guint32 tokens[2][N];
  GemSequenceState *sequences[2];
  float *alone[2];
  Outputs outputs[2];
  guint turn = 0;

  for (guint i = 0; i < 2; i++) {
    fill_tokens(scene, 10 + i, tokens[i]);
    sequences[i] = forced_sequence(scene, tokens[i], i);
    alone[i] = run_in_blocks(scene, sequences[i], N, FALSE);
    gem_sequence_state_free(scene->runtime, sequences[i]);
    sequences[i] = forced_sequence(scene, tokens[i], i);
    outputs[i] = (Outputs){.width = width, .rows = g_new(float, N *width)};
  }
  while (gem_sequence_state_pending(sequences[0]) + gem_sequence_state_pending(sequences[1]) > 0) {
    GemStepSpan spans[2];
    guint n = 0;

    for (guint i = 0; i < 2; i++) {
      guint rows = MIN(gem_sequence_state_pending(sequences[i]), (turn + i) % 2 == 0 ? 1U : 9U);

      if (rows > 0) {
        spans[n++] =
            (GemStepSpan){.sequence = sequences[i], .rows = rows, .output = keep_output, .data = &outputs[i]};
      }
    }
    g_assert_true(gem_step_run(scene->step, spans, n, NULL));
    turn++;
  }
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpmem(outputs[i].rows, N * width * sizeof(float), alone[i], N * width * sizeof(float));
    g_free(outputs[i].rows);
    g_free(alone[i]);
    gem_sequence_state_free(scene->runtime, sequences[i]);
  }
}

/* What a slide leaves runs like a sequence of its own: the same tokens and routes, at positions from 0 on. */
static void
test_slide(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;
  guint32 tokens[N];
  GemSequenceState *sequence;
  g_autofree float *before = NULL;
  g_autofree float *after = NULL;
  g_autofree double *expected = NULL;
  g_autofree guint8 *routes = NULL;
  Outputs outputs = {0};
  GemStepSpan span = {.output = keep_output, .data = &outputs};
  guint dropped, left;

  test->config.kv_half = TRUE;
  scene = scene_new(test);
  fill_tokens(scene, 13, tokens);
  tokens[0] = GEM_TEST_BOS;
  sequence = forced_sequence(scene, tokens, 0);
  routes = g_memdup2(sequence->routes->data, N);
  before = run_in_blocks(scene, sequence, 16, FALSE);
  g_assert_nonnull(before);

  dropped = gem_sequence_state_slide(scene->runtime, sequence, GEM_TEST_BOS);
  left = N - dropped;
  g_assert_cmpuint(dropped, ==, N / 2);
  g_assert_cmpuint(gem_sequence_state_pending(sequence), ==, left);
  memmove(tokens + 1, tokens + 1 + dropped, (left - 1) * sizeof *tokens);
  memmove(routes + 1, routes + 1 + dropped, left - 1);
  g_assert_cmpmem(sequence->tokens->data, left * sizeof *tokens, tokens, left * sizeof *tokens);
  g_assert_cmpmem(sequence->routes->data, left, routes, left);

  outputs = (Outputs){.width = scene->runtime->shape->vocab};
  outputs.rows = after = g_new(float, left *outputs.width);
  span.sequence = sequence;
  span.rows = left;
  g_assert_true(gem_step_run(scene->step, &span, 1, NULL));
  expected = reference_forward(scene->files, tokens, left, routes, 0, scene->runtime->kv_form.half, FALSE);
  gem_test_assert_close(after, expected, left * outputs.width, TOLERANCE);
  /* No token is counted twice. */
  g_assert_cmpuint(sequence->rows_by_pathway[0] + sequence->rows_by_pathway[1] +
                       sequence->rows_by_pathway[2] + sequence->rows_by_pathway[3],
                   ==, N);
  gem_sequence_state_free(scene->runtime, sequence);
}

/* A domain without its file: its tokens run through general alone, and are counted there. */
static void
test_missing_domain(void)
{
  GemTestEngine *test = gem_test_engine_new();
  g_autoptr(Scene) scene = NULL;
  g_autofree char *file = g_build_filename(test->folder, "pathway-legal.gguf", NULL);
  guint32 tokens[N];
  guint8 degraded[N];
  GemSequenceState *sequence;
  g_autofree float *logits = NULL;
  g_autofree double *expected = NULL;
  guint legal;

  test->config.kv_half = TRUE;
  gem_test_engine_write(test, FALSE);
  g_assert_cmpint(g_remove(file), ==, 0);
  gem_test_model_write_manifest(test->folder, &test->shape);
  scene = scene_new(test);
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));

  fill_tokens(scene, 12, tokens);
  sequence = forced_sequence(scene, tokens, 0);
  logits = run_in_blocks(scene, sequence, 16, FALSE);
  for (guint i = 0; i < N; i++) {
    guint8 route = sequence->routes->data[i];

    degraded[i] = route == legal ? GEM_ROUTE_GENERAL : route;
  }
  expected = reference_forward(scene->files, tokens, N, degraded, 0, scene->runtime->kv_form.half, FALSE);
  gem_test_assert_close(logits, expected, (gsize)N * scene->runtime->shape->vocab, TOLERANCE);
  g_assert_cmpuint(sequence->rows_by_pathway[legal], ==, 0);
  g_assert_cmpuint(sequence->rows_by_pathway[0] + sequence->rows_by_pathway[1] +
                       sequence->rows_by_pathway[2] + sequence->rows_by_pathway[3],
                   ==, N);
  gem_sequence_state_free(scene->runtime, sequence);
}

/* What slides out or moves up stays nowhere in the sequence's memory. */
static void
test_slide_wipes(void)
{
  g_autoptr(Scene) scene = scene_new(gem_test_engine_new());
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  GemRouting routing = {.forced = TRUE, .route = 1};
  GemSequenceState *sequence = gem_sequence_state_new(scene->runtime, 0);
  guint32 tokens[N];
  guint kept;

  for (guint i = 0; i < N; i++) {
    tokens[i] = (guint32)g_rand_int_range(random, 1, (gint32)scene->runtime->vocab);
  }
  g_assert_true(gem_sequence_state_append(scene->runtime, sequence, tokens, N, &routing, NULL, NULL));
  kept = N - gem_sequence_state_slide(scene->runtime, sequence, tokens[0]);
  g_assert_cmpuint(sequence->tokens->len, ==, kept);
  g_assert_cmpuint(g_array_index(sequence->tokens, guint32, kept - 1), ==, tokens[N - 1]);
  for (guint i = kept; i < N; i++) {
    g_assert_cmpuint(((const guint32 *)(gpointer)sequence->tokens->data)[i], ==, 0);
    g_assert_cmpuint(sequence->routes->data[i], ==, 0);
  }
  gem_sequence_state_free(scene->runtime, sequence);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/step/scar/first-set", GUINT_TO_POINTER(0), test_scar);
  g_test_add_data_func("/step/scar/second-set", GUINT_TO_POINTER(1), test_scar);
  g_test_add_data_func("/step/scar/successors", GUINT_TO_POINTER(0), test_successors);
  g_test_add_data_func("/step/scar/successors-second-set", GUINT_TO_POINTER(1), test_successors);
  g_test_add_func("/step/half-cache", test_half_cache);
  g_test_add_func("/step/dense", test_dense);
  g_test_add_data_func("/step/llama/tied", GINT_TO_POINTER(TRUE), test_llama);
  g_test_add_data_func("/step/llama/untied", GINT_TO_POINTER(FALSE), test_llama);
  g_test_add_func("/step/hidden", test_hidden);
  g_test_add_func("/step/router", test_router);
  g_test_add_func("/step/blocks", test_blocks);
  g_test_add_func("/step/together", test_together);
  g_test_add_func("/step/slide", test_slide);
  g_test_add_func("/step/slide-wipes", test_slide_wipes);
  g_test_add_func("/step/missing-domain", test_missing_domain);
  return g_test_run();
}
