/*
 * router/bert for turns with classes of their own, against a router whose classifier has those rows from the
 * start: what a softmax over more or fewer classes must give follows from its probabilities.
 */
#include <math.h>
#include <string.h>

#include "tests/gem-test-backend.h"
#include "tests/gem-test-modules.h"
#include "tests/gem-test-source.h"

#define VOCABULARY 50
#define WIDTH      32
#define HIDDEN     64
#define DOMAINS    5
#define ROWS       3
#define CLASSES    (DOMAINS + ROWS)
#define LENGTH     150 /* tokens of a turn: more than a block */

/* The rows are exact; the model's classes may go through rounded inputs. */
#define TOLERANCE 0.02

/* The same bytes but for the classifier, which has more rows or fewer. */
static GemTestSource *
router_source(guint classes)
{
  static const struct {
    const char *name;
    size_t rows;
    size_t cols;
  } tensors[] = {
      {"blk.0.attn_q.weight", WIDTH, WIDTH},  {"blk.0.attn_k.weight", WIDTH, WIDTH},
      {"blk.0.attn_v.weight", WIDTH, WIDTH},  {"blk.0.attn_output.weight", WIDTH, WIDTH},
      {"blk.0.ffn_up.weight", HIDDEN, WIDTH}, {"blk.0.ffn_down.weight", WIDTH, HIDDEN},
  };
  GemTestSource *source = gem_test_source_new("router-test.gguf", 23);
  gem_test_source_set_number(source, "gemrouter.embedding_length", WIDTH);
  gem_test_source_set_number(source, "gemrouter.block_count", 1);
  gem_test_source_set_number(source, "gemrouter.feed_forward_length", HIDDEN);
  gem_test_source_set_number(source, "gemrouter.attention.head_count", 2);
  gem_test_source_set_number(source, "gemrouter.attention.window", 8);
  gem_test_source_add(source, "token_embd.weight", GEM_TYPE_F16, VOCABULARY, WIDTH, 0, 1);
  for (gsize i = 0; i < G_N_ELEMENTS(tensors); i++) {
    gem_test_source_add(source, tensors[i].name, GEM_TYPE_F16, tensors[i].rows, tensors[i].cols, 0, 0.5);
  }
  gem_test_source_add(source, "blk.0.attn_norm.weight", GEM_TYPE_F32, 1, WIDTH, 1, 0.5);
  gem_test_source_add(source, "blk.0.ffn_norm.weight", GEM_TYPE_F32, 1, WIDTH, 1, 0.5);
  gem_test_source_add(source, "output_norm.weight", GEM_TYPE_F32, 1, WIDTH, 1, 0.5);
  gem_test_source_add(source, "classifier.weight", GEM_TYPE_F32, classes, WIDTH, 0, 0.5);
  return source;
}

typedef struct {
  GemTestBackend *backend;
  GemPluginModule *module;
  const GemRouterFunctions *functions;
  GemTestSource *sources[2];
  GemRouter *wide;         /* with CLASSES classes */
  GemRouter *narrow;       /* with the first DOMAINS of them */
  GemRouterRow rows[ROWS]; /* the others */
  guint32 tokens[LENGTH];
} Scene;

static GemRouter *
open_router(Scene *scene, guint index, guint classes)
{
  const GemShape shape = {.struct_size = sizeof shape, .vocab = VOCABULARY, .domains = classes};
  GemPluginError error = {""};
  scene->sources[index] = router_source(classes);
  GemRouter *router =
      scene->functions->open(&scene->sources[index]->source, &shape, &scene->backend->backend, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(router);
  return router;
}

static void
scene_set_up(Scene *scene, gconstpointer data)
{
  scene->backend = gem_test_backend_open();
  scene->module = gem_test_module_open(GEM_PLUGIN_ROUTER, "bert");
  scene->functions = gem_plugin_module_get(scene->module)->functions;
  scene->wide = open_router(scene, 0, CLASSES);
  scene->narrow = open_router(scene, 1, DOMAINS);
  g_assert_cmpuint(scene->functions->row_width(scene->narrow), ==, WIDTH);
  const float *classifier = gem_test_source_values(scene->sources[0], "classifier.weight");
  for (gsize i = 0; i < ROWS; i++) {
    scene->rows[i] = (GemRouterRow){.weight = classifier + (DOMAINS + i) * WIDTH};
  }
  for (gsize i = 0; i < LENGTH; i++) {
    scene->tokens[i] = (guint32)g_rand_int_range(scene->sources[0]->random, 0, VOCABULARY);
  }
}

static void
scene_tear_down(Scene *scene, gconstpointer data)
{
  scene->functions->close(scene->wide);
  scene->functions->close(scene->narrow);
  gem_test_backend_close(scene->backend);
  gem_plugin_module_close(scene->module);
  gem_test_source_free(scene->sources[0]);
  gem_test_source_free(scene->sources[1]);
}

/* Probabilities of the scene's first n tokens as one turn; `classes` may be NULL. Free with g_free. */
static float *
route_alone(const Scene *scene, GemRouter *router, size_t n, const GemRouterClasses *classes)
{
  GemRouterState *state = scene->functions->state_new(router);
  float *probabilities = g_new(float, n *CLASSES);
  const GemRouterTurn turn = {
      .state = state, .tokens = scene->tokens, .n = n, .probabilities = probabilities};
  g_assert_cmpint(scene->functions->route_classes(router, &turn, &classes, 1), ==, 0);
  scene->functions->state_free(router, state);
  return probabilities;
}

static void
test_rows(Scene *scene, gconstpointer data)
{
  const GemRouterClasses classes = {.rows = scene->rows, .n_rows = ROWS};
  g_autofree float *expected = route_alone(scene, scene->wide, LENGTH, NULL);
  g_autofree float *found = route_alone(scene, scene->narrow, LENGTH, &classes);
  for (gsize i = 0; i < LENGTH * CLASSES; i++) {
    g_assert_cmpfloat_with_epsilon(found[i], expected[i], TOLERANCE);
  }
}

/* What is left out leaves its share to the others in proportion; a bias b is a factor e^b. */
static void
test_without_and_bias(Scene *scene, gconstpointer data)
{
  enum { LEFT_OUT = 3, MOST = DOMAINS + 1 };
  const GemRouterRow row = {.weight = scene->rows[0].weight, .bias = 1.5F};
  const GemRouterClasses classes = {.rows = &row, .n_rows = 1, .without = 1u << LEFT_OUT};
  g_autofree float *wide = route_alone(scene, scene->wide, LENGTH, NULL);
  g_autofree float *found = route_alone(scene, scene->narrow, LENGTH, &classes);

  for (gsize i = 0; i < LENGTH; i++) {
    double expected[MOST];
    double sum = 0;
    for (gsize column = 0; column < MOST; column++) {
      expected[column] = (double)wide[i * CLASSES + column] * (column == DOMAINS ? exp(1.5) : 1);
      expected[column] = column == LEFT_OUT ? 0 : expected[column];
      sum += expected[column];
    }
    g_assert_cmpfloat(found[i * MOST + LEFT_OUT], ==, 0);
    for (gsize column = 0; column < MOST; column++) {
      g_assert_cmpfloat_with_epsilon((double)found[i * MOST + column], expected[column] / sum, TOLERANCE);
    }
  }
}

/* No class at all: nothing to sum to 1. */
static void
test_without_all(Scene *scene, gconstpointer data)
{
  const GemRouterClasses none = {.without = (1u << DOMAINS) - 1};
  const GemRouterClasses one = {.rows = scene->rows, .n_rows = 1, .without = (1u << DOMAINS) - 1};
  g_autofree float *nothing = route_alone(scene, scene->narrow, LENGTH, &none);
  g_autofree float *certain = route_alone(scene, scene->narrow, LENGTH, &one);

  for (gsize i = 0; i < LENGTH; i++) {
    for (gsize column = 0; column < DOMAINS; column++) {
      g_assert_cmpfloat(nothing[i * DOMAINS + column], ==, 0);
      g_assert_cmpfloat(certain[i * (DOMAINS + 1) + column], ==, 0);
    }
    g_assert_cmpfloat(certain[i * (DOMAINS + 1) + DOMAINS], ==, 1);
  }
}

/* Turns with other classes, or none of their own, in one call: the bits of each alone. */
static void
test_together(Scene *scene, gconstpointer data)
{
  static const size_t lengths[] = {1, 70, LENGTH, 1, 30};
  enum { N = G_N_ELEMENTS(lengths) };
  const GemRouterClasses all = {.rows = scene->rows, .n_rows = ROWS};
  const GemRouterClasses replaced = {.rows = scene->rows + 1, .n_rows = 1, .without = 1u << 2};
  const GemRouterClasses *const classes[N] = {&all, NULL, &replaced, NULL, &all};
  const GemRouterFunctions *functions = scene->functions;
  GemRouterTurn turns[N];

  for (size_t i = 0; i < N; i++) {
    turns[i] = (GemRouterTurn){
        .state = functions->state_new(scene->narrow),
        .tokens = scene->tokens,
        .n = lengths[i],
        .probabilities = g_new(float, lengths[i] * CLASSES),
    };
  }
  g_assert_cmpint(functions->route_classes(scene->narrow, turns, classes, N), ==, 0);
  for (size_t i = 0; i < N; i++) {
    gsize columns = DOMAINS + (classes[i] != NULL ? classes[i]->n_rows : 0);
    g_autofree float *alone = route_alone(scene, scene->narrow, lengths[i], classes[i]);
    g_assert_cmpmem(turns[i].probabilities, lengths[i] * columns * sizeof(float), alone,
                    lengths[i] * columns * sizeof(float));
    functions->state_free(scene->narrow, turns[i].state);
    g_free(turns[i].probabilities);
  }
}

/* A turn that has the model's classes is what `route` makes of it. */
static void
test_models_classes(Scene *scene, gconstpointer data)
{
  GemRouterState *state = scene->functions->state_new(scene->narrow);
  g_autofree float *expected = route_alone(scene, scene->narrow, LENGTH, NULL);
  g_autofree float *found = g_new(float, LENGTH *DOMAINS);
  const GemRouterTurn turn = {.state = state, .tokens = scene->tokens, .n = LENGTH, .probabilities = found};
  g_assert_cmpint(scene->functions->route(scene->narrow, &turn, 1), ==, 0);
  g_assert_cmpmem(found, LENGTH * DOMAINS * sizeof(float), expected, LENGTH * DOMAINS * sizeof(float));
  scene->functions->state_free(scene->narrow, state);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Scene, NULL, scene_set_up, function, scene_tear_down)
  ADD("/router-classes/rows", test_rows);
  ADD("/router-classes/without-and-bias", test_without_and_bias);
  ADD("/router-classes/without-all", test_without_all);
  ADD("/router-classes/together", test_together);
  ADD("/router-classes/models-classes", test_models_classes);
#undef ADD
  return g_test_run();
}
