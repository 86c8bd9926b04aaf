/*
 * router/bert against the same encoder written out in double precision over the whole sequence, under the
 * mask of its turns; and what its state must keep: nothing that was routed ever changes.
 */
#include <math.h>
#include <string.h>

#include "tests/gem-test-backend.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

#define VOCABULARY 50
#define WIDTH      32
#define HEADS      4
#define HEAD_DIM   (WIDTH / HEADS)
#define HIDDEN     64
#define LAYERS     3
#define WINDOW     6
#define DOMAINS    8
#define EPSILON    1e-5
#define BASE       10000.0

/* A key or value that falls on the other side of a rounding step, through three layers. */
#define TOLERANCE 0.02

static const GemShape shape = {.struct_size = sizeof shape, .vocab = VOCABULARY, .domains = DOMAINS};

static void
add_layer(GemTestSource *source, guint layer)
{
  static const struct {
    const char *name;
    size_t rows;
    size_t cols;
    double centre; /* 1: a norm's weight */
  } tensors[] = {
      {"attn_norm", 1, WIDTH, 1},   {"attn_q", WIDTH, WIDTH, 0},      {"attn_k", WIDTH, WIDTH, 0},
      {"attn_v", WIDTH, WIDTH, 0},  {"attn_output", WIDTH, WIDTH, 0}, {"ffn_norm", 1, WIDTH, 1},
      {"ffn_up", HIDDEN, WIDTH, 0}, {"ffn_down", WIDTH, HIDDEN, 0},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(tensors); i++) {
    g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, tensors[i].name);
    GemType type = tensors[i].rows == 1 ? GEM_TYPE_F32 : GEM_TYPE_F16;
    gem_test_source_add(source, name, type, tensors[i].rows, tensors[i].cols, tensors[i].centre, 0.5);
  }
}

/* embedding: E; another width than the router's brings a projection. */
static GemTestSource *
router_source(size_t embedding)
{
  GemTestSource *source = gem_test_source_new("router-test.gguf", 19);
  gem_test_source_set_number(source, "gemrouter.embedding_length", WIDTH);
  gem_test_source_set_number(source, "gemrouter.block_count", LAYERS);
  gem_test_source_set_number(source, "gemrouter.feed_forward_length", HIDDEN);
  gem_test_source_set_number(source, "gemrouter.attention.head_count", HEADS);
  gem_test_source_set_number(source, "gemrouter.attention.window", WINDOW);
  gem_test_source_set_number(source, "gemrouter.attention.layer_norm_rms_epsilon", EPSILON);
  gem_test_source_set_number(source, "gemrouter.rope.freq_base", BASE);

  gem_test_source_add(source, "token_embd.weight", GEM_TYPE_F16, VOCABULARY, embedding, 0, 1);
  if (embedding != WIDTH) {
    gem_test_source_add(source, "embedding_projection.weight", GEM_TYPE_F16, WIDTH, embedding, 0, 0.5);
  }
  for (guint layer = 0; layer < LAYERS; layer++) {
    add_layer(source, layer);
  }
  gem_test_source_add(source, "output_norm.weight", GEM_TYPE_F32, 1, WIDTH, 1, 0.5);
  gem_test_source_add(source, "classifier.weight", GEM_TYPE_F32, DOMAINS, WIDTH, 0, 0.5);
  return source;
}

/* ---- the encoder in double precision ---- */

/* A sequence of turns; turn_end[i] is where the turn of token i ends. */
typedef struct {
  guint32 *tokens;
  size_t *turn_end;
  size_t count;
} Sequence;

static void
sequence_clear(Sequence *sequence)
{
  g_free(sequence->tokens);
  g_free(sequence->turn_end);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sequence, sequence_clear)

static const float *
layer_values(const GemTestSource *source, guint layer, const char *part)
{
  g_autofree char *name = g_strdup_printf("blk.%u.%s.weight", layer, part);
  return gem_test_source_values(source, name);
}

/* Within its turn a token sees both ways, unless the turn is causal; of earlier turns what is near. */
static gboolean
sees(const Sequence *sequence, size_t i, size_t j, gboolean causal)
{
  size_t distance = i > j ? i - j : j - i;
  size_t end = causal ? i + 1 : sequence->turn_end[i];
  return j < end && distance < WINDOW;
}

static void
expected_attention(
    const GemTestSource *source, const Sequence *sequence, guint layer, gboolean causal, double *x)
{
  size_t count = sequence->count;
  g_autofree double *q = g_new(double, count *WIDTH);
  g_autofree double *k = g_new(double, count *WIDTH);
  g_autofree double *v = g_new(double, count *WIDTH);
  g_autofree gboolean *visible = g_new(gboolean, count);
  for (size_t i = 0; i < count; i++) {
    double u[WIDTH];
    gem_test_rms_norm(x + i * WIDTH, layer_values(source, layer, "attn_norm"), WIDTH, EPSILON, u);
    gem_test_linear(layer_values(source, layer, "attn_q"), WIDTH, WIDTH, u, q + i * WIDTH);
    gem_test_linear(layer_values(source, layer, "attn_k"), WIDTH, WIDTH, u, k + i * WIDTH);
    gem_test_linear(layer_values(source, layer, "attn_v"), WIDTH, WIDTH, u, v + i * WIDTH);
    gem_test_rope(q + i * WIDTH, (guint32)i, HEADS, HEAD_DIM, HEAD_DIM, BASE);
    gem_test_rope(k + i * WIDTH, (guint32)i, HEADS, HEAD_DIM, HEAD_DIM, BASE);
  }
  gem_test_round_keys_values(k, v, count, HEADS, HEAD_DIM, FALSE);
  gem_test_round_queries(q, count * HEADS, HEAD_DIM);
  for (size_t i = 0; i < count; i++) {
    double attended[WIDTH];
    double projected[WIDTH];
    for (size_t j = 0; j < count; j++) {
      visible[j] = sees(sequence, i, j, causal);
    }
    gem_test_attend(q + i * WIDTH, HEADS, HEADS, HEAD_DIM, k, v, visible, count, attended);
    gem_test_linear(layer_values(source, layer, "attn_output"), WIDTH, WIDTH, attended, projected);
    for (size_t d = 0; d < WIDTH; d++) {
      x[i * WIDTH + d] += projected[d];
    }
  }
}

static void
expected_feed_forward(const GemTestSource *source, guint layer, double *x)
{
  double u[WIDTH];
  double hidden[HIDDEN];
  double lowered[WIDTH];
  gem_test_rms_norm(x, layer_values(source, layer, "ffn_norm"), WIDTH, EPSILON, u);
  gem_test_linear(layer_values(source, layer, "ffn_up"), HIDDEN, WIDTH, u, hidden);
  for (size_t i = 0; i < HIDDEN; i++) {
    hidden[i] = gem_test_gelu(hidden[i]);
  }
  gem_test_linear(layer_values(source, layer, "ffn_down"), WIDTH, HIDDEN, hidden, lowered);
  for (size_t d = 0; d < WIDTH; d++) {
    x[d] += lowered[d];
  }
}

/* [count][DOMAINS] for the whole sequence; free with g_free. */
static double *
expected_probabilities(const GemTestSource *source,
                       size_t embedding,
                       const Sequence *sequence,
                       gboolean causal)
{
  g_autofree double *x = g_new(double, sequence->count *WIDTH);
  double *probabilities = g_new(double, sequence->count *DOMAINS);
  for (size_t i = 0; i < sequence->count; i++) {
    const float *row = gem_test_source_values(source, "token_embd.weight") + sequence->tokens[i] * embedding;
    g_autofree double *embedded = gem_test_to_doubles(row, embedding);
    if (embedding == WIDTH) {
      memcpy(x + i * WIDTH, embedded, WIDTH * sizeof *x);
    } else {
      gem_test_linear(gem_test_source_values(source, "embedding_projection.weight"), WIDTH, embedding,
                      embedded, x + i * WIDTH);
    }
  }
  for (guint layer = 0; layer < LAYERS; layer++) {
    expected_attention(source, sequence, layer, causal, x);
    for (size_t i = 0; i < sequence->count; i++) {
      expected_feed_forward(source, layer, x + i * WIDTH);
    }
  }
  for (size_t i = 0; i < sequence->count; i++) {
    double e[WIDTH];
    gem_test_rms_norm(x + i * WIDTH, gem_test_source_values(source, "output_norm.weight"), WIDTH, EPSILON, e);
    gem_test_linear(gem_test_source_values(source, "classifier.weight"), DOMAINS, WIDTH, e,
                    probabilities + i * DOMAINS);
    gem_test_softmax(probabilities + i * DOMAINS, DOMAINS);
  }
  return probabilities;
}

/* ---- the module ---- */

typedef struct {
  GemTestBackend *backend;
  GemPluginModule *module;
  const GemRouterFunctions *functions;
  GemTestSource *source;
  GemRouter *router;
} Scene;

/* embedding: E, as GSIZE_TO_POINTER. */
static void
scene_set_up(Scene *scene, gconstpointer embedding)
{
  GemPluginError error = {""};
  scene->backend = gem_test_backend_open();
  scene->module = gem_test_module_open(GEM_PLUGIN_ROUTER, "bert");
  scene->functions = gem_plugin_module_get(scene->module)->functions;
  scene->source = router_source(GPOINTER_TO_SIZE(embedding));
  scene->router = scene->functions->open(&scene->source->source, &shape, &scene->backend->backend, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(scene->router);
}

static void
scene_tear_down(Scene *scene, gconstpointer embedding)
{
  scene->functions->close(scene->router);
  gem_test_backend_close(scene->backend);
  gem_plugin_module_close(scene->module);
  gem_test_source_free(scene->source);
}

/* A random sequence of turns of these lengths (0 ends them). */
static Sequence
sequence_new(GRand *random, const size_t *turns)
{
  Sequence sequence = {0};
  for (const size_t *turn = turns; *turn > 0; turn++) {
    sequence.count += *turn;
  }
  sequence.tokens = g_new(guint32, sequence.count);
  sequence.turn_end = g_new(size_t, sequence.count);
  size_t i = 0;
  for (size_t end = *turns; i < sequence.count; end += *++turns) {
    for (; i < end; i++) {
      sequence.tokens[i] = (guint32)g_rand_int_range(random, 0, VOCABULARY);
      sequence.turn_end[i] = end;
    }
  }
  return sequence;
}

static int
route_one(const Scene *scene,
          GemRouterState *state,
          const guint32 *tokens,
          size_t n,
          gboolean causal,
          float *probabilities)
{
  const GemRouterTurn turn = {
      .state = state, .tokens = tokens, .n = n, .causal = causal, .probabilities = probabilities};

  return scene->functions->route(scene->router, &turn, 1);
}

/* Routes turn by turn; [count][DOMAINS], free with g_free. */
static float *
route_turns(const Scene *scene, GemRouterState *state, const Sequence *sequence, gboolean causal)
{
  float *probabilities = g_new(float, sequence->count *DOMAINS);
  for (size_t first = 0; first < sequence->count; first = sequence->turn_end[first]) {
    size_t n = sequence->turn_end[first] - first;
    g_assert_cmpint(
        route_one(scene, state, sequence->tokens + first, n, causal, probabilities + first * DOMAINS), ==, 0);
  }
  return probabilities;
}

static void
assert_routes(const Scene *scene, size_t embedding, const size_t *turns, gboolean causal)
{
  g_auto(Sequence) sequence = sequence_new(scene->source->random, turns);
  GemRouterState *state = scene->functions->state_new(scene->router);
  g_assert_nonnull(state);
  g_autofree float *probabilities = route_turns(scene, state, &sequence, causal);
  g_autofree double *expected = expected_probabilities(scene->source, embedding, &sequence, causal);
  gem_test_assert_close(probabilities, expected, sequence.count * DOMAINS, TOLERANCE);
  scene->functions->state_free(scene->router, state);
}

/* Turns shorter and longer than the window, than a block, and than what a state usually has room for. */
static void
test_routes(Scene *scene, gconstpointer embedding)
{
  static const size_t turns[][8] = {
      {1}, {WINDOW - 1}, {70}, {128}, {129}, {3, 1, 1, 1, 9, 1, 1}, {200, 1, 1, 65, 2}, {1, 130, 20, 20, 20},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(turns); i++) {
    assert_routes(scene, GPOINTER_TO_SIZE(embedding), turns[i], FALSE);
    assert_routes(scene, GPOINTER_TO_SIZE(embedding), turns[i], TRUE);
  }
}

/* A causal turn is its tokens one by one, over many more of them than the state has room for. */
static void
test_token_by_token(Scene *scene, gconstpointer embedding)
{
  static const size_t whole[] = {150, 0};
  size_t single[151] = {0};
  for (gsize i = 0; i < 150; i++) {
    single[i] = 1;
  }
  g_auto(Sequence) together = sequence_new(scene->source->random, whole);
  g_auto(Sequence) one_by_one = sequence_new(scene->source->random, single);
  memcpy(one_by_one.tokens, together.tokens, 150 * sizeof *together.tokens);

  GemRouterState *first = scene->functions->state_new(scene->router);
  GemRouterState *second = scene->functions->state_new(scene->router);
  g_autofree float *expected = route_turns(scene, first, &together, TRUE);
  g_autofree float *singly = route_turns(scene, second, &one_by_one, FALSE);
  for (gsize i = 0; i < 150 * DOMAINS; i++) {
    g_assert_cmpfloat_with_epsilon(singly[i], expected[i], 1e-5);
  }
  scene->functions->state_free(scene->router, first);
  scene->functions->state_free(scene->router, second);
}

/* At least one probability is another. */
static void
assert_differ(const float *a, const float *b, size_t count)
{
  gboolean differ = FALSE;
  for (size_t i = 0; i < count; i++) {
    differ |= a[i] != b[i];
  }
  g_assert_true(differ);
}

/* What comes after leaves the routes of earlier turns alone, and inside a turn it does not. */
static void
test_later_turns(Scene *scene, gconstpointer embedding)
{
  static const size_t lone[] = {12, 0};
  static const size_t followed[] = {12, 5, 0};
  static const size_t longer[] = {17, 0};
  g_auto(Sequence) a = sequence_new(scene->source->random, lone);
  g_auto(Sequence) b = sequence_new(scene->source->random, followed);
  g_auto(Sequence) c = sequence_new(scene->source->random, longer);
  memcpy(b.tokens, a.tokens, 12 * sizeof *a.tokens);
  memcpy(c.tokens, b.tokens, 17 * sizeof *b.tokens);

  float *routes[3];
  const Sequence *sequences[] = {&a, &b, &c};
  for (gsize i = 0; i < 3; i++) {
    GemRouterState *state = scene->functions->state_new(scene->router);
    routes[i] = route_turns(scene, state, sequences[i], FALSE);
    scene->functions->state_free(scene->router, state);
  }
  g_assert_cmpmem(routes[0], 12 * DOMAINS * sizeof(float), routes[1], 12 * DOMAINS * sizeof(float));
  assert_differ(routes[1] + 11 * DOMAINS, routes[2] + 11 * DOMAINS, DOMAINS);
  for (gsize i = 0; i < 3; i++) {
    g_free(routes[i]);
  }
}

/* A copy goes on as the original would have, and neither sees what the other does. */
static void
test_copy(Scene *scene, gconstpointer embedding)
{
  static const size_t beginning[] = {60, 4, 0};
  static const size_t end[] = {9, 1, 0};
  g_auto(Sequence) before = sequence_new(scene->source->random, beginning);
  g_auto(Sequence) other = sequence_new(scene->source->random, end);
  g_auto(Sequence) after = sequence_new(scene->source->random, end);
  GemRouterState *state = scene->functions->state_new(scene->router);
  g_autofree float *shared = route_turns(scene, state, &before, FALSE);
  GemRouterState *copy = scene->functions->state_copy(scene->router, state);
  GemRouterState *elsewhere = scene->functions->state_copy(scene->router, state);
  g_assert_nonnull(copy);

  g_autofree float *unrelated = route_turns(scene, elsewhere, &other, FALSE);
  g_autofree float *original = route_turns(scene, state, &after, FALSE);
  g_autofree float *copied = route_turns(scene, copy, &after, FALSE);
  g_assert_cmpmem(original, after.count * DOMAINS * sizeof(float), copied,
                  after.count * DOMAINS * sizeof(float));
  assert_differ(original, unrelated, after.count * DOMAINS);
  scene->functions->state_free(scene->router, state);
  scene->functions->state_free(scene->router, copy);
  scene->functions->state_free(scene->router, elsewhere);
}

/* Turns of several states in one call, each with its own length and sight: the bits of each alone. */
static void
test_together(Scene *scene, gconstpointer embedding)
{
  static const size_t lengths[][2] = {{1, 0}, {70, 0}, {1, 0}, {9, 0}, {130, 0}};
  enum { N = G_N_ELEMENTS(lengths) };
  static const size_t beginning[] = {50, 0};
  GemRouterTurn turns[N];
  float *alone[N];
  Sequence sequences[N];

  for (size_t i = 0; i < N; i++) {
    g_auto(Sequence) before = sequence_new(scene->source->random, beginning);
    GemRouterState *state = scene->functions->state_new(scene->router);
    g_autofree float *ignored = route_turns(scene, state, &before, FALSE);
    sequences[i] = sequence_new(scene->source->random, lengths[i]);
    turns[i] = (GemRouterTurn){
        .state = scene->functions->state_copy(scene->router, state),
        .tokens = sequences[i].tokens,
        .n = sequences[i].count,
        .causal = i % 2 == 0,
        .probabilities = g_new(float, sequences[i].count *DOMAINS),
    };
    alone[i] = route_turns(scene, state, &sequences[i], i % 2 == 0);
    scene->functions->state_free(scene->router, state);
  }
  g_assert_cmpint(scene->functions->route(scene->router, turns, N), ==, 0);
  for (size_t i = 0; i < N; i++) {
    g_assert_cmpmem(turns[i].probabilities, turns[i].n * DOMAINS * sizeof(float), alone[i],
                    turns[i].n * DOMAINS * sizeof(float));
    scene->functions->state_free(scene->router, turns[i].state);
    g_free(turns[i].probabilities);
    g_free(alone[i]);
    sequence_clear(&sequences[i]);
  }
}

#define LONG_TURN 300

/* Says "go on" so many times. */
static bool
count_down(void *data)
{
  guint *left = data;

  if (*left == 0) {
    return false;
  }
  *left -= 1;
  return true;
}

/* Wherever a turn is stopped, its sequence is as it was: the next try gives what the first would have. */
static void
test_stopped(Scene *scene, gconstpointer embedding)
{
  const size_t beginning[] = {70, 0};
  const size_t turn[] = {LONG_TURN, 0};
  g_auto(Sequence) before = sequence_new(scene->source->random, beginning);
  g_auto(Sequence) sequence = sequence_new(scene->source->random, turn);
  GemRouterState *state = scene->functions->state_new(scene->router);
  GemRouterState *stopped;
  g_autofree float *ignored = route_turns(scene, state, &before, FALSE);
  g_autofree float *expected = NULL;
  g_autofree float *probabilities = g_new(float, sequence.count *DOMAINS);
  guint stops = 0, left = 0;
  int status;

  stopped = scene->functions->state_copy(scene->router, state);
  expected = route_turns(scene, state, &sequence, FALSE);
  scene->functions->set_go_on(scene->router, count_down, &left);
  do {
    left = stops;
    status = route_one(scene, stopped, sequence.tokens, sequence.count, FALSE, probabilities);
    stops++;
  } while (status == GEM_ROUTER_STOPPED);
  g_assert_cmpint(status, ==, 0);
  /* In each layer, twice for each of its blocks: for projections, and for attention and feed-forward. */
  g_assert_cmpuint(stops - 1, ==, 2 * LAYERS * ((LONG_TURN + 127) / 128));
  g_assert_cmpmem(probabilities, sequence.count * DOMAINS * sizeof(float), expected,
                  sequence.count * DOMAINS * sizeof(float));
  scene->functions->set_go_on(scene->router, NULL, NULL);
  scene->functions->state_free(scene->router, state);
  scene->functions->state_free(scene->router, stopped);
}

static void
test_sizes(Scene *scene, gconstpointer embedding)
{
  g_assert_cmpuint(scene->functions->resident_bytes(scene->router), >=, gem_test_backend_matrix_bytes());
  g_assert_cmpuint(scene->functions->state_bytes(scene->router), >=,
                   LAYERS * 2 * (WINDOW - 1) * WIDTH * sizeof(float));
  GemRouterState *state = scene->functions->state_new(scene->router);
  g_assert_cmpint(route_one(scene, state, NULL, 0, FALSE, NULL), ==, 0);
  const guint32 outside[] = {1, VOCABULARY};
  float probabilities[2 * DOMAINS];
  g_assert_cmpint(route_one(scene, state, outside, 2, FALSE, probabilities), <, 0);
  scene->functions->state_free(scene->router, state);
}

/* ---- what is refused ---- */

static void
assert_refused(GemTestSource *source, const GemShape *with, const char *reason)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemPluginModule) module = gem_test_module_open(GEM_PLUGIN_ROUTER, "bert");
  const GemRouterFunctions *functions = gem_plugin_module_get(module)->functions;
  GemPluginError error = {""};
  g_assert_null(functions->open(&source->source, with, &backend->backend, &error));
  g_test_message("%s", error.message);
  g_assert_true(g_str_has_prefix(error.message, "router-test.gguf: "));
  g_assert_nonnull(strstr(error.message, reason));
}

static void
test_bad_metadata(void)
{
  static const struct {
    const char *key;
    double value;
    const char *reason;
  } cases[] = {
      {"gemrouter.embedding_length", 0, "key gemrouter.embedding_length is 0, not a whole number from 1"},
      {"gemrouter.embedding_length", 1e9, "not a whole number from 1 to 65536"},
      {"gemrouter.block_count", 2000, "key gemrouter.block_count is 2000"},
      {"gemrouter.block_count", LAYERS + 1, "tensor blk.3.attn_q.weight is missing"},
      {"gemrouter.attention.head_count", 3, "width 32 does not make 3 heads"},
      {"gemrouter.attention.head_count", 32, "width 32 does not make 32 heads"},
      {"gemrouter.attention.window", 0, "key gemrouter.attention.window is 0"},
      {"gemrouter.feed_forward_length", HIDDEN - 1, "tensor blk.0.ffn_up.weight is 64 x 32, not 63 x 32"},
      {"gemrouter.attention.layer_norm_rms_epsilon", -1, "layer_norm_rms_epsilon is -1"},
      {"gemrouter.rope.freq_base", NAN, "rope.freq_base is nan"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemTestSource) source = router_source(WIDTH);
    gem_test_source_set_number(source, cases[i].key, cases[i].value);
    assert_refused(source, &shape, cases[i].reason);
  }

  g_autoptr(GemTestSource) source = router_source(WIDTH);
  GemShape other = shape;
  other.domains = DOMAINS - 1;
  assert_refused(source, &other, "tensor classifier.weight is 8 x 32, not 7 x 32");
  other.domains = 0;
  assert_refused(source, &other, "no domains");
  other = shape;
  other.vocab = VOCABULARY + 1;
  assert_refused(source, &other, "tensor token_embd.weight is 50 x 32, not 51 x 32");
}

static void
test_missing_tensors(void)
{
  g_autoptr(GemTestSource) whole = router_source(64);
  GHashTableIter names;
  gpointer name;
  g_hash_table_iter_init(&names, whole->tensors);
  while (g_hash_table_iter_next(&names, &name, NULL)) {
    g_autofree char *reason = g_strdup_printf("tensor %s is missing", (const char *)name);
    g_autoptr(GemTestSource) source = router_source(64);
    gem_test_source_remove(source, name);
    assert_refused(source, &shape, reason);
  }
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    gsize embedding;
    void (*run)(Scene *self, gconstpointer data);
  } tests[] = {
      {"/router/routes", WIDTH, test_routes},
      {"/router/routes-projected", 2 * WIDTH, test_routes},
      {"/router/token-by-token", WIDTH, test_token_by_token},
      {"/router/later-turns", WIDTH, test_later_turns},
      {"/router/copy", WIDTH, test_copy},
      {"/router/together", WIDTH, test_together},
      {"/router/sizes", WIDTH, test_sizes},
      {"/router/stopped", WIDTH, test_stopped},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Scene, GSIZE_TO_POINTER(tests[i].embedding), scene_set_up, tests[i].run,
               scene_tear_down);
  }
  g_test_add_func("/router/bad-metadata", test_bad_metadata);
  g_test_add_func("/router/missing-tensors", test_missing_tensors);
  return g_test_run();
}
