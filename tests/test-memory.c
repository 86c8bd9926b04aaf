/* MemoryLimit: answers are what they are without it, as long as they fit; who is not at work gives way; what
 * does not fit is refused, or done without, and said. */
#include <string.h>

#include "tests/gem-test-engine.h"

#define PROMPT      "the old house on the hill and the garden behind it in the rain"
#define TOKENS      12
#define MORE_TOKENS 80 /* of answers that change places */

typedef struct {
  GemTestEngine *test;
  GemEngine *engine;
  guint64 fixed;   /* bytes of what stays */
  guint64 router;  /* that the router remembers of a sequence, and the scratch of a first answer */
  guint64 pathway; /* of one domain; all are alike */
  guint64 cache;   /* of an answer to PROMPT of TOKENS tokens */
} Scene;

static GemTestAnswer *
start_answer(GemSequence *sequence, guint tokens, const char *domain, GemPageIn page_in)
{
  g_auto(GemGenerateOptions)
      options = {.max_tokens = tokens, .run = {.domain = g_strdup(domain), .page_in = page_in}};

  return gem_test_generate(sequence, PROMPT, &options);
}

static GemTestAnswer *
answer(GemSequence *sequence, const char *domain, GemPageIn page_in)
{
  GemTestAnswer *started = start_answer(sequence, TOKENS, domain, page_in);

  gem_test_answer_wait(started);
  return started;
}

/* In a sequence of its own, which is gone afterwards. */
static GemTestAnswer *
answer_alone(Scene *self, const char *domain, GemPageIn page_in)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(self->engine, NULL, NULL);

  return answer(sequence, domain, page_in);
}

static char *
text_alone(Scene *self, const char *domain)
{
  g_autoptr(GemTestAnswer) alone = answer_alone(self, domain, GEM_PAGE_IN_DEFAULT);

  g_assert_no_error(alone->error);
  return g_strdup(alone->text->str);
}

/* The engine has done then what it was told before. */
static void
relieve(GemEngine *engine, GemRelief step)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  gem_engine_relieve_async(engine, step, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_relieve_finish(engine, result, NULL, NULL));
}

static void
set_limit(Scene *self, guint64 bytes)
{
  gem_engine_set_memory_limit(self->engine, bytes);
  relieve(self->engine, GEM_RELIEF_OVER);
}

static GemEngineCounters
counters_of(Scene *self)
{
  GemEngineCounters counters;

  relieve(self->engine, GEM_RELIEF_OVER);
  gem_engine_get_counters(self->engine, &counters);
  return counters;
}

static gboolean
is_resident(Scene *self, const char *domain)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(self->engine, domain);

  return info->state == GEM_PATHWAY_RESIDENT;
}

/* Measures what things take, and leaves nothing of it in memory. Every token is routed to some domain. */
static void
scene_init(Scene *self)
{
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) measured = NULL;
  g_autoptr(GemPathwayInfo) info = NULL;

  self->test = gem_test_engine_new();
  self->test->config.threshold_percent = 0;
  gem_test_engine_start(self->test);
  self->engine = self->test->engine;
  self->fixed = gem_engine_get_fixed_bytes(self->engine);
  sequence = gem_engine_new_sequence(self->engine, NULL, NULL);
  measured = answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  self->cache = measured->cache_bytes;
  g_assert_cmpuint(g_hash_table_size(measured->tokens_by_pathway), ==, 3);
  info = gem_engine_get_pathway(self->engine, "legal");
  self->pathway = info->resident_bytes;
  relieve(self->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  self->router = gem_engine_get_resident_bytes(self->engine) - self->fixed;
  g_assert_cmpuint(self->fixed, >, 0);
  g_assert_cmpuint(self->router, >, 0);
  g_assert_cmpuint(self->cache, >, self->pathway / 2);
}

static void
scene_clear(Scene *self)
{
  gem_test_engine_free(self->test);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

/* Room for one sequence at work and `pathways` halves of a pathway. */
static guint64
limit_for(const Scene *self, guint halves)
{
  return self->fixed + self->router + self->cache + halves * self->pathway / 2;
}

/* With room for one pathway at a time the three that the text needs take turns, and nothing else changes. */
static void
test_same_answer(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *expected = NULL, *text = NULL;

  scene_init(&scene);
  expected = text_alone(&scene, NULL);
  for (guint halves = 2; halves <= 6; halves++) {
    GemEngineCounters before = counters_of(&scene);
    guint64 limit = limit_for(&scene, halves);
    g_autoptr(GemTestAnswer) limited = NULL;

    set_limit(&scene, limit);
    g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, limit);
    limited = answer_alone(&scene, NULL, GEM_PAGE_IN_DEFAULT);
    g_assert_no_error(limited->error);
    g_assert_cmpstr(limited->text->str, ==, expected);
    g_assert_cmpuint(limited->degraded_tokens, ==, 0);
    g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, limit);
    /* Three fit; fewer do not. */
    g_assert_true((counters_of(&scene).page_outs_budget > before.page_outs_budget) == (halves < 6));
  }
}

/* Two answers at a time, of different pathways; both are there before the engine begins with one. Transfer
 * full in the order of the texts. */
static void
answer_both(Scene *self, GemSequence *const *sequences, char **ret_texts)
{
  GemTestHold *hold = gem_test_engine_hold(self->engine);
  g_autoptr(GemTestAnswer) first = start_answer(sequences[0], MORE_TOKENS, "legal", GEM_PAGE_IN_WAIT);
  g_autoptr(GemTestAnswer) second = start_answer(sequences[1], MORE_TOKENS, "stem", GEM_PAGE_IN_WAIT);

  gem_test_engine_let_go(hold);
  gem_test_answer_wait(first);
  gem_test_answer_wait(second);
  g_assert_no_error(first->error);
  g_assert_no_error(second->error);
  ret_texts[0] = g_strdup(first->text->str);
  ret_texts[1] = g_strdup(second->text->str);
}

/* With room for one of their pathways each gets its turn, again and again. */
static void
test_take_turns(void)
{
  g_auto(Scene) scene = {0};
  char *expected[2], *texts[2];
  guint64 most, before;

  scene_init(&scene);
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GemSequence) one = gem_engine_new_sequence(scene.engine, NULL, NULL);
    g_autoptr(GemSequence) two = gem_engine_new_sequence(scene.engine, NULL, NULL);
    GemSequence *const both[] = {one, two};

    answer_both(&scene, both, round == 0 ? expected : texts);
    if (round == 0) {
      relieve(scene.engine, GEM_RELIEF_OVER);
      most = gem_engine_get_resident_bytes(scene.engine);
      before = counters_of(&scene).page_outs_budget;
      set_limit(&scene, most - scene.pathway / 2);
    }
  }
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpstr(texts[i], ==, expected[i]);
    g_free(texts[i]);
    g_free(expected[i]);
  }
  /* More often than when one comes after the other. */
  g_assert_cmpuint(counters_of(&scene).page_outs_budget, >, before + 2);
}

/* The one that was needed longest ago goes. */
static void
test_oldest_first(void)
{
  g_auto(Scene) scene = {0};

  scene_init(&scene);
  set_limit(&scene, limit_for(&scene, 5));
  g_free(text_alone(&scene, "legal"));
  g_free(text_alone(&scene, "finance"));
  g_free(text_alone(&scene, "legal"));
  g_free(text_alone(&scene, "stem"));
  g_assert_true(is_resident(&scene, "legal"));
  g_assert_false(is_resident(&scene, "finance"));
  g_assert_true(is_resident(&scene, "stem"));
  g_free(text_alone(&scene, "finance"));
  g_assert_false(is_resident(&scene, "legal"));
}

/* What is held or pinned stays, and what needs its room is refused; the last step of relief takes it. */
static void
test_kept(gconstpointer pinned)
{
  g_auto(Scene) scene = {0};
  g_autoptr(GemTestAnswer) refused = NULL;

  scene_init(&scene);
  g_free(text_alone(&scene, "legal"));
  if (pinned != NULL) {
    gem_engine_set_pinned(scene.engine, "legal", TRUE);
  } else {
    gem_engine_hold_pathway(scene.engine, "legal");
  }
  set_limit(&scene, limit_for(&scene, 3));
  refused = answer_alone(&scene, "stem", GEM_PAGE_IN_WAIT);
  g_assert_error(refused->error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_true(is_resident(&scene, "legal"));
  relieve(scene.engine, GEM_RELIEF_IDLE_CACHES);
  g_assert_true(is_resident(&scene, "legal"));
  relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  g_assert_false(is_resident(&scene, "legal"));
  g_free(text_alone(&scene, "legal"));
  if (pinned != NULL) {
    gem_engine_set_pinned(scene.engine, "legal", FALSE);
  } else {
    gem_engine_release_pathway(scene.engine, "legal");
  }
  g_free(text_alone(&scene, "stem"));
  g_assert_false(is_resident(&scene, "legal"));
}

/* When no pathway is left to go, the cache of the conversation that is idle longest goes; it goes on later as
 * if it had not. */
static void
test_idle_caches(void)
{
  g_auto(Scene) scene = {0};
  g_autoptr(GemSequence) expected = NULL, one = NULL, two = NULL;
  g_autoptr(GemTestAnswer) a = NULL, b = NULL, c = NULL, d = NULL, e = NULL;

  scene_init(&scene);
  expected = gem_engine_new_sequence(scene.engine, NULL, NULL);
  a = answer(expected, "general", GEM_PAGE_IN_DEFAULT);
  b = answer(expected, "general", GEM_PAGE_IN_DEFAULT);
  g_clear_object(&expected);
  one = gem_engine_new_sequence(scene.engine, NULL, NULL);
  two = gem_engine_new_sequence(scene.engine, NULL, NULL);
  c = answer(one, "general", GEM_PAGE_IN_DEFAULT);
  d = answer(two, "general", GEM_PAGE_IN_DEFAULT);
  g_assert_cmpuint(counters_of(&scene).cache_drops_budget, ==, 0);
  set_limit(&scene, gem_engine_get_resident_bytes(scene.engine) - 1);
  g_assert_cmpuint(counters_of(&scene).cache_drops_budget, ==, 1);
  set_limit(&scene, 0);
  /* It is the first one that has to run its first turn again. */
  e = answer(one, "general", GEM_PAGE_IN_DEFAULT);
  g_assert_cmpstr(c->text->str, ==, a->text->str);
  g_assert_cmpstr(d->text->str, ==, a->text->str);
  g_assert_cmpstr(e->text->str, ==, b->text->str);
}

static void
check_refused(const GemTestAnswer *refused)
{
  g_assert_error(refused->error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_nonnull(strstr(refused->error->message, "MemoryLimit"));
  g_assert_cmpuint(refused->reason, ==, GEM_FINISH_FAILED);
}

/* No room for the cache: an error for that call; the sequence is as it was, and goes on when there is. */
static void
test_no_room_for_cache(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *expected = NULL;
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) refused = NULL, taken = NULL;

  scene_init(&scene);
  expected = text_alone(&scene, NULL);
  sequence = gem_engine_new_sequence(scene.engine, NULL, NULL);
  set_limit(&scene, scene.fixed + scene.router + scene.cache / 4);
  refused = answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  check_refused(refused);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, 0);
  g_assert_cmpuint(counters_of(&scene).refusals, ==, 1);
  set_limit(&scene, 0);
  taken = answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  g_assert_cmpstr(taken->text->str, ==, expected);
}

/* No room for the pathway: who waits for it is refused, who can do without is told how often that was. */
static void
test_no_room_for_pathway(gconstpointer domain)
{
  g_auto(Scene) scene = {0};
  g_autofree char *general = NULL;
  g_autoptr(GemTestAnswer) waits = NULL, degrades = NULL;
  guint rows;

  scene_init(&scene);
  general = text_alone(&scene, "general");
  set_limit(&scene, limit_for(&scene, 1));
  waits = answer_alone(&scene, domain, GEM_PAGE_IN_WAIT);
  check_refused(waits);
  degrades = answer_alone(&scene, domain, GEM_PAGE_IN_DEGRADE);
  g_assert_no_error(degrades->error);
  g_assert_cmpstr(degrades->text->str, ==, general);
  rows = GPOINTER_TO_UINT(g_hash_table_lookup(degrades->tokens_by_pathway, "general"));
  g_assert_cmpuint(rows, >, 0);
  g_assert_cmpuint(degrades->degraded_tokens, ==, rows);
  g_assert_cmpuint(counters_of(&scene).degraded_tokens, ==, rows);
  g_assert_false(is_resident(&scene, "legal"));
}

/* The first block goes without, the pathway is there for those after it, and for the next answer. */
static void
test_degrade(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *expected = NULL;
  g_autoptr(GemTestAnswer) first = NULL, second = NULL;
  guint rows;

  scene_init(&scene);
  expected = text_alone(&scene, "legal");
  relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  gem_engine_set_page_in(scene.engine, GEM_PAGE_IN_DEGRADE);
  first = answer_alone(&scene, "legal", GEM_PAGE_IN_DEFAULT);
  g_assert_no_error(first->error);
  rows = first->degraded_tokens;
  g_assert_cmpuint(rows, ==, scene.test->config.prefill_block);
  g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(first->tokens_by_pathway, "general")), ==, rows);
  g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(first->tokens_by_pathway, "legal")), >, 0);
  second = answer_alone(&scene, "legal", GEM_PAGE_IN_DEFAULT);
  g_assert_cmpuint(second->degraded_tokens, ==, 0);
  g_assert_cmpstr(second->text->str, ==, expected);
  /* A call's own word comes first. */
  relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  g_clear_pointer(&second, gem_test_answer_free);
  second = answer_alone(&scene, "legal", GEM_PAGE_IN_WAIT);
  g_assert_cmpuint(second->degraded_tokens, ==, 0);
}

/* A limit that the general part alone is above: it serves, and keeps nothing that it can do without. */
static void
test_below_general(void)
{
  g_auto(Scene) scene = {0};
  g_autofree char *expected = NULL, *text = NULL;

  scene_init(&scene);
  expected = text_alone(&scene, NULL);
  set_limit(&scene, scene.fixed - 1);
  g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, scene.fixed + scene.router);
  text = text_alone(&scene, NULL);
  g_assert_cmpstr(text, ==, expected);
  g_assert_cmpuint(counters_of(&scene).refusals, ==, 0);
}

/* Asked for by an administrator: it takes the place of others, or is refused. */
static void
test_page_in(void)
{
  g_auto(Scene) scene = {0};
  GAsyncResult *slots[3] = {NULL};
  const char *const domains[] = {"legal", "stem", "finance"};
  g_autoptr(GError) error = NULL;

  scene_init(&scene);
  for (guint i = 0; i < 3; i++) {
    g_autoptr(GAsyncResult) result = NULL;

    set_limit(&scene, scene.fixed + scene.pathway * (i < 2 ? 3 : 1) / 2);
    gem_engine_page_in_async(scene.engine, domains[i], NULL, gem_test_keep_result, &slots[i]);
    result = gem_test_wait_result(&slots[i]);
    g_assert_true(gem_engine_page_finish(scene.engine, result, &error) == (i < 2));
  }
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_false(is_resident(&scene, "legal"));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/memory/same-answer", test_same_answer);
  g_test_add_func("/memory/take-turns", test_take_turns);
  g_test_add_func("/memory/oldest-first", test_oldest_first);
  g_test_add_data_func("/memory/kept/held", NULL, test_kept);
  g_test_add_data_func("/memory/kept/pinned", "", test_kept);
  g_test_add_func("/memory/idle-caches", test_idle_caches);
  g_test_add_func("/memory/no-room-for-cache", test_no_room_for_cache);
  g_test_add_data_func("/memory/no-room-for-pathway/forced", "legal", test_no_room_for_pathway);
  g_test_add_data_func("/memory/no-room-for-pathway/routed", NULL, test_no_room_for_pathway);
  g_test_add_func("/memory/degrade", test_degrade);
  g_test_add_func("/memory/below-general", test_below_general);
  g_test_add_func("/memory/page-in", test_page_in);
  return g_test_run();
}
