/*
 * Several texts under a MemoryLimit that has no room for all: who waits, who gives way, and that nobody is
 * refused for what others take, or answers otherwise.
 */
#include <string.h>

#include "daemon/engine/gem-engine-private.h"
#include "tests/gem-test-limit.h"

#define TOKENS 80u

/* What one turn of TOKENS tokens takes in all, of its cache and the router; and its text. */
static guint64
measure(GemTestLimit *scene, const char *domain, char **ret_text)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(scene->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = gem_test_limit_start(sequence, TOKENS, domain, GEM_PAGE_IN_WAIT);

  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
  *ret_text = g_strdup(answer->text->str);
  gem_test_limit_relieve(scene->engine, GEM_RELIEF_OVER);
  return gem_sequence_state_get_bytes(scene->engine->runtime, sequence->state);
}

/* Everything that may go has gone: what stays. */
static guint64
stays(GemTestLimit *scene)
{
  gem_test_limit_relieve(scene->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  return gem_engine_get_resident_bytes(scene->engine);
}

/* Starts all at the same step, in sequences of their own, and waits for them. */
static void
answer_all(GemTestLimit *scene,
           guint n,
           const char *const *domains,
           GemPageIn page_in,
           GemSequence **sequences,
           GemTestAnswer **answers)
{
  GemTestHold *hold = gem_test_engine_hold(scene->engine);

  for (guint i = 0; i < n; i++) {
    sequences[i] = gem_engine_new_sequence(scene->engine, NULL, NULL);
    answers[i] = gem_test_limit_start(sequences[i], TOKENS, domains[i], page_in);
  }
  gem_test_engine_let_go(hold);
  for (guint i = 0; i < n; i++) {
    gem_test_answer_wait(answers[i]);
  }
}

static void
free_all(guint n, GemSequence **sequences, GemTestAnswer **answers)
{
  for (guint i = 0; i < n; i++) {
    gem_test_answer_free(answers[i]);
    g_object_unref(sequences[i]);
  }
}

/* Room for one and a half of them: they wait for each other, and each answers what it would have alone. */
static void
test_wait(gconstpointer domain)
{
  enum { N = 4 };
  const char *const domains[N] = {domain, domain, domain, domain};
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL;
  GemSequence *sequences[N];
  GemTestAnswer *answers[N];
  guint64 one;

  gem_test_limit_init(&scene);
  one = measure(&scene, domain, &expected);
  gem_test_limit_set(&scene, stays(&scene) + one + one / 2 + (domain == NULL ? scene.pathway : 0));
  answer_all(&scene, N, domains, GEM_PAGE_IN_WAIT, sequences, answers);
  for (guint i = 0; i < N; i++) {
    g_assert_no_error(answers[i]->error);
    g_assert_cmpstr(answers[i]->text->str, ==, expected);
  }
  g_assert_cmpuint(gem_test_limit_counters(&scene).refusals, ==, 0);
  g_assert_cmpuint(gem_test_limit_counters(&scene).cache_drops_budget, >, 0);
  free_all(N, sequences, answers);
}

/* Who would find no room alone is refused, beside whomever; who would is not, beside whomever. */
static void
test_alone(void)
{
  enum { N = 3 };
  const char *const domains[N] = {"general", "legal", "general"};
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL;
  GemSequence *sequences[N];
  GemTestAnswer *answers[N];
  guint64 one;

  gem_test_limit_init(&scene);
  one = measure(&scene, "general", &expected);
  gem_test_limit_set(&scene, stays(&scene) + one + scene.pathway / 2);
  answer_all(&scene, N, domains, GEM_PAGE_IN_WAIT, sequences, answers);
  for (guint i = 0; i < N; i++) {
    if (i == 1) {
      g_assert_error(answers[i]->error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
    } else {
      g_assert_no_error(answers[i]->error);
      g_assert_cmpstr(answers[i]->text->str, ==, expected);
    }
  }
  g_assert_cmpuint(gem_test_limit_counters(&scene).refusals, ==, 1);
  free_all(N, sequences, answers);
}

/* A text without pathway beside one whose pathway leaves no room for its cache: nobody is refused. */
static void
test_neighbours_pathway(void)
{
  enum { N = 2 };
  const char *const domains[N] = {"legal", "general"};
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *legal = NULL, *general = NULL;
  GemSequence *sequences[N];
  GemTestAnswer *answers[N];
  guint64 one, with_pathway;

  gem_test_limit_init(&scene);
  one = measure(&scene, "general", &general);
  with_pathway = scene.pathway + measure(&scene, "legal", &legal);
  gem_test_limit_set(&scene, stays(&scene) + MAX(one, with_pathway));
  answer_all(&scene, N, domains, GEM_PAGE_IN_WAIT, sequences, answers);
  g_assert_no_error(answers[0]->error);
  g_assert_no_error(answers[1]->error);
  g_assert_cmpstr(answers[0]->text->str, ==, legal);
  g_assert_cmpstr(answers[1]->text->str, ==, general);
  free_all(N, sequences, answers);
}

/* Texts that can do without do not take each other's pathways away step by step. */
static void
test_degrade(void)
{
  enum { N = 2 };
  const char *const domains[N] = {"legal", "stem"};
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL;
  GemEngineCounters before, after;
  GemSequence *sequences[N];
  GemTestAnswer *answers[N];
  guint64 one;

  gem_test_limit_init(&scene);
  one = measure(&scene, "legal", &expected);
  gem_test_limit_set(&scene, stays(&scene) + scene.pathway + scene.pathway / 2 + 2 * one);
  before = gem_test_limit_counters(&scene);
  answer_all(&scene, N, domains, GEM_PAGE_IN_DEGRADE, sequences, answers);
  after = gem_test_limit_counters(&scene);
  for (guint i = 0; i < N; i++) {
    g_assert_no_error(answers[i]->error);
    g_assert_cmpuint(answers[i]->generated_tokens, ==, TOKENS);
    g_assert_cmpuint(answers[i]->degraded_tokens, >, 0);
  }
  g_assert_cmpuint(MIN(answers[0]->degraded_tokens, answers[1]->degraded_tokens), <, TOKENS / 2);
  /* Both, while the caches are small; one, then; and no more when one of them has ended. */
  g_assert_cmpuint(after.paging.page_ins, >, before.paging.page_ins);
  g_assert_cmpuint(after.paging.page_ins, <=, before.paging.page_ins + 3);
  g_assert_cmpuint(after.paging.page_outs_budget, <=, before.paging.page_outs_budget + 2);
  free_all(N, sequences, answers);
}

/* Whether a turn of so many tokens is answered with so many bytes beyond what stays. */
static gboolean
is_answered(GemTestLimit *scene, guint tokens, guint64 bytes)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(scene->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = NULL;

  gem_test_limit_set(scene, stays(scene) + bytes);
  answer = gem_test_limit_start(sequence, tokens, "legal", GEM_PAGE_IN_WAIT);
  gem_test_answer_wait(answer);
  gem_test_limit_set(scene, 0);
  return answer->error == NULL;
}

/* A cache doubles as long as there is room; beside a pathway that is to come it takes no more than it needs,
 * so that a longer answer needs more room than a shorter one, and none as much as the next doubling. */
static void
test_grow_less(void)
{
  static const guint tokens[] = {24, 40, 56, 72};
  g_auto(GemTestLimit) scene = {0};
  guint64 before = 0, bytes;

  gem_test_limit_init(&scene);
  bytes = scene.pathway;
  for (gsize i = 0; i < G_N_ELEMENTS(tokens); i++) {
    while (!is_answered(&scene, tokens[i], bytes)) {
      bytes += 1024;
    }
    g_assert_cmpuint(bytes, >, before);
    before = bytes;
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/admission/wait/general", "general", test_wait);
  g_test_add_data_func("/admission/wait/routed", NULL, test_wait);
  g_test_add_func("/admission/alone", test_alone);
  g_test_add_func("/admission/grow-less", test_grow_less);
  g_test_add_func("/admission/neighbours-pathway", test_neighbours_pathway);
  g_test_add_func("/admission/degrade", test_degrade);
  return g_test_run();
}
