/*
 * What the router remembers of a sequence, given up and made again: the probabilities of what comes next are
 * the same to the last bit, wherever that happened, and memory that is not there is said.
 */
#include <string.h>

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-router-memory.h"
#include "tests/gem-test-engine.h"

/* The turns of a conversation. */
typedef struct {
  guint n;
  gboolean causal, forced;
} Turn;

static const Turn turns[] = {{40, FALSE, FALSE}, {1, TRUE, FALSE},   {1, TRUE, FALSE}, {7, TRUE, FALSE},
                             {9, FALSE, TRUE},   {23, FALSE, FALSE}, {1, TRUE, FALSE}, {5, TRUE, TRUE},
                             {30, FALSE, FALSE}, {17, FALSE, FALSE}, {1, TRUE, FALSE}, {1, TRUE, FALSE},
                             {50, TRUE, FALSE}};

#define MOST 64u /* tokens of a turn */

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemRuntime *runtime;
} Scene;

static void
setup(Scene *self, gconstpointer data)
{
  gem_test_model_router_layers = 3;
  self->test = gem_test_engine_new();
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
}

static void
teardown(Scene *self, gconstpointer data)
{
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
  gem_test_engine_free(self->test);
}

/* The i-th turn, with the probabilities [n][domains] of its tokens; the tokens are those of `seed`. */
static void
append(const Scene *self, GemSequenceState *sequence, guint i, guint32 seed, float *probabilities)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(seed + i);
  const GemRouting routing = {.forced = turns[i].forced, .route = 1, .causal = turns[i].causal};
  guint32 tokens[MOST];

  for (guint token = 0; token < turns[i].n; token++) {
    tokens[token] = (guint32)g_rand_int_range(random, 1, (gint32)self->runtime->vocab);
  }
  g_assert_true(
      gem_sequence_state_append(self->runtime, sequence, tokens, turns[i].n, &routing, probabilities, NULL));
}

static void
test_made_again(Scene *self, gconstpointer data)
{
  guint domains = self->runtime->shape->n_domains;
  g_autofree float *expected = g_new0(float, (gsize)MOST *domains);
  g_autofree float *again = g_new0(float, (gsize)MOST *domains);

  /* Data: given up before each turn, or before every third one. */
  for (guint at = 0; at < GPOINTER_TO_UINT(data); at++) {
    GemSequenceState *one = gem_sequence_state_new(self->runtime, 0);
    GemSequenceState *two = gem_sequence_state_new(self->runtime, 0);

    for (guint i = 0; i < G_N_ELEMENTS(turns); i++) {
      append(self, one, i, 5, expected);
      if (i % GPOINTER_TO_UINT(data) == at) {
        gem_sequence_state_drop_memory(self->runtime, two);
        g_assert_null(two->router_state);
      }
      append(self, two, i, 5, again);
      g_assert_cmpmem(again, turns[i].n * domains * sizeof(float), expected,
                      turns[i].n * domains * sizeof(float));
    }
    g_assert_cmpmem(one->routes->data, one->routes->len, two->routes->data, two->routes->len);
    gem_sequence_state_free(self->runtime, one);
    gem_sequence_state_free(self->runtime, two);
  }
  g_assert_cmpuint(self->runtime->sequence_bytes, ==, 0);
}

/* Without the tokens before it a turn is routed in another way: or the test above says nothing. */
static void
test_remembers(Scene *self, gconstpointer data)
{
  guint domains = self->runtime->shape->n_domains;
  g_autofree float *after = g_new0(float, (gsize)MOST *domains);
  g_autofree float *alone = g_new0(float, (gsize)MOST *domains);
  GemSequenceState *one = gem_sequence_state_new(self->runtime, 0);
  GemSequenceState *two = gem_sequence_state_new(self->runtime, 0);

  append(self, one, 0, 5, after);
  append(self, one, 1, 5, after);
  append(self, two, 1, 5, alone);
  g_assert_cmpint(memcmp(after, alone, domains * sizeof(float)), !=, 0);
  gem_sequence_state_free(self->runtime, one);
  gem_sequence_state_free(self->runtime, two);
}

/* When the older half has slid out the router remembers what is left, as the cache does. */
static void
test_slide(Scene *self, gconstpointer data)
{
  GemSequenceState *sequence = gem_sequence_state_new(self->runtime, 0);
  g_autofree float *expected = g_new0(float, (gsize)MOST * self->runtime->shape->n_domains);
  g_autofree float *again = g_new0(float, (gsize)MOST * self->runtime->shape->n_domains);
  GemRouterState *before;

  for (guint i = 0; i < 6; i++) {
    append(self, sequence, i, 5, expected);
  }
  g_assert_cmpuint(gem_sequence_state_slide(self->runtime, sequence, G_MAXUINT32), >, 0);
  g_assert_null(sequence->router_state);
  g_assert_true(gem_router_memory_need(self->runtime, sequence, NULL));
  before = gem_sequence_state_copy_router(self->runtime, sequence);
  append(self, sequence, 6, 5, expected);
  gem_sequence_state_truncate(sequence, sequence->tokens->len - turns[6].n);
  gem_sequence_state_set_router(self->runtime, sequence, before);
  gem_sequence_state_drop_memory(self->runtime, sequence);
  append(self, sequence, 6, 5, again);
  g_assert_cmpmem(again, turns[6].n * sizeof(float), expected, turns[6].n * sizeof(float));
  gem_sequence_state_free(self->runtime, sequence);
}

/* It counts, and what MemoryLimit has no room for is refused; idle conversations give theirs up for it. */
static void
test_limit(Scene *self, gconstpointer data)
{
  gsize bytes = self->runtime->router_functions->state_bytes(self->runtime->router);
  guint64 fixed = gem_runtime_bytes(self->runtime);
  GemSequenceState *one = gem_sequence_state_new(self->runtime, 0);
  GemSequenceState *two = gem_sequence_state_new(self->runtime, 0);
  g_autoptr(GError) error = NULL;

  g_ptr_array_add(self->runtime->conversations, one);
  self->runtime->budget.limit = fixed + bytes;
  one->busy = TRUE;
  g_assert_true(gem_router_memory_need(self->runtime, one, &error));
  g_assert_cmpuint(gem_runtime_bytes(self->runtime), ==, fixed + bytes);
  g_assert_false(gem_router_memory_fits(self->runtime, two));
  g_assert_false(gem_router_memory_need(self->runtime, two, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_null(two->router_state);
  g_assert_nonnull(one->router_state);
  one->busy = FALSE;
  g_assert_true(gem_router_memory_fits(self->runtime, two));
  g_assert_true(gem_router_memory_need(self->runtime, two, NULL));
  g_assert_null(one->router_state);
  g_assert_cmpuint(self->runtime->counters.cache_drops_budget, ==, 1);
  g_ptr_array_set_size(self->runtime->conversations, 0);
  gem_sequence_state_free(self->runtime, one);
  gem_sequence_state_free(self->runtime, two);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/router-memory/made-again/always", Scene, GUINT_TO_POINTER(1), setup, test_made_again,
             teardown);
  g_test_add("/router-memory/made-again/at-times", Scene, GUINT_TO_POINTER(3), setup, test_made_again,
             teardown);
  g_test_add("/router-memory/remembers", Scene, NULL, setup, test_remembers, teardown);
  g_test_add("/router-memory/slide", Scene, NULL, setup, test_slide, teardown);
  g_test_add("/router-memory/limit", Scene, NULL, setup, test_limit, teardown);
  return g_test_run();
}
