/* MemoryLimit: answers are what they are without it, as long as they fit; who is not at work gives way; what
 * does not fit is refused, or done without, and said. */
#include <string.h>

#include "tests/gem-test-limit.h"

#define MORE_TOKENS 80 /* of answers that change places */

/* With room for one pathway at a time the three that the text needs take turns, and nothing else changes. */
static void
test_same_answer(void)
{
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL, *text = NULL;

  gem_test_limit_init(&scene);
  expected = gem_test_limit_text_alone(&scene, NULL);
  for (guint halves = 2; halves <= 6; halves++) {
    GemEngineCounters before = gem_test_limit_counters(&scene);
    guint64 limit = gem_test_limit_for(&scene, halves);
    g_autoptr(GemTestAnswer) limited = NULL;

    gem_test_limit_set(&scene, limit);
    g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, limit);
    limited = gem_test_limit_answer_alone(&scene, NULL, GEM_PAGE_IN_DEFAULT);
    g_assert_no_error(limited->error);
    g_assert_cmpstr(limited->text->str, ==, expected);
    g_assert_cmpuint(limited->degraded_tokens, ==, 0);
    g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, limit);
    /* Three fit; fewer do not. */
    g_assert_true((gem_test_limit_counters(&scene).paging.page_outs_budget >
                   before.paging.page_outs_budget) == (halves < 6));
  }
}

/* Two answers at a time, of different pathways; both are there before the engine begins with one. Transfer
 * full in the order of the texts. */
static void
answer_both(GemTestLimit *self, GemSequence *const *sequences, char **ret_texts)
{
  GemTestHold *hold = gem_test_engine_hold(self->engine);
  g_autoptr(GemTestAnswer) first = gem_test_limit_start(sequences[0], MORE_TOKENS, "legal", GEM_PAGE_IN_WAIT);
  g_autoptr(GemTestAnswer) second = gem_test_limit_start(sequences[1], MORE_TOKENS, "stem", GEM_PAGE_IN_WAIT);

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
  g_auto(GemTestLimit) scene = {0};
  char *expected[2], *texts[2];
  guint64 most, before;

  gem_test_limit_init(&scene);
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GemSequence) one = gem_engine_new_sequence(scene.engine, NULL, NULL);
    g_autoptr(GemSequence) two = gem_engine_new_sequence(scene.engine, NULL, NULL);
    GemSequence *const both[] = {one, two};

    answer_both(&scene, both, round == 0 ? expected : texts);
    if (round == 0) {
      gem_test_limit_relieve(scene.engine, GEM_RELIEF_OVER);
      most = gem_engine_get_resident_bytes(scene.engine);
      before = gem_test_limit_counters(&scene).paging.page_outs_budget;
      gem_test_limit_set(&scene, most - scene.pathway / 2);
    }
  }
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpstr(texts[i], ==, expected[i]);
    g_free(texts[i]);
    g_free(expected[i]);
  }
  /* More often than when one comes after the other. */
  g_assert_cmpuint(gem_test_limit_counters(&scene).paging.page_outs_budget, >, before + 2);
}

/* The one that was needed longest ago goes. */
static void
test_oldest_first(void)
{
  g_auto(GemTestLimit) scene = {0};

  gem_test_limit_init(&scene);
  gem_test_limit_set(&scene, gem_test_limit_for(&scene, 5));
  g_free(gem_test_limit_text_alone(&scene, "legal"));
  g_free(gem_test_limit_text_alone(&scene, "finance"));
  g_free(gem_test_limit_text_alone(&scene, "legal"));
  g_free(gem_test_limit_text_alone(&scene, "stem"));
  g_assert_true(gem_test_limit_is_resident(&scene, "legal"));
  g_assert_false(gem_test_limit_is_resident(&scene, "finance"));
  g_assert_true(gem_test_limit_is_resident(&scene, "stem"));
  g_free(gem_test_limit_text_alone(&scene, "finance"));
  g_assert_false(gem_test_limit_is_resident(&scene, "legal"));
}

/* What is held or pinned stays, and what needs its room is refused; the last step of relief takes it. */
static void
test_kept(gconstpointer pinned)
{
  g_auto(GemTestLimit) scene = {0};
  g_autoptr(GemTestAnswer) refused = NULL;

  gem_test_limit_init(&scene);
  g_free(gem_test_limit_text_alone(&scene, "legal"));
  if (pinned != NULL) {
    gem_engine_set_pinned(scene.engine, "legal", TRUE);
  } else {
    gem_engine_hold_pathway(scene.engine, "legal");
  }
  gem_test_limit_set(&scene, gem_test_limit_for(&scene, 3));
  refused = gem_test_limit_answer_alone(&scene, "stem", GEM_PAGE_IN_WAIT);
  g_assert_error(refused->error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_true(gem_test_limit_is_resident(&scene, "legal"));
  gem_test_limit_relieve(scene.engine, GEM_RELIEF_IDLE_CACHES);
  g_assert_true(gem_test_limit_is_resident(&scene, "legal"));
  gem_test_limit_relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  g_assert_false(gem_test_limit_is_resident(&scene, "legal"));
  g_free(gem_test_limit_text_alone(&scene, "legal"));
  if (pinned != NULL) {
    gem_engine_set_pinned(scene.engine, "legal", FALSE);
  } else {
    gem_engine_release_pathway(scene.engine, "legal");
  }
  g_free(gem_test_limit_text_alone(&scene, "stem"));
  g_assert_false(gem_test_limit_is_resident(&scene, "legal"));
}

/* When no pathway is left to go, the cache of the conversation that is idle longest goes; it goes on later as
 * if it had not. */
static void
test_idle_caches(void)
{
  g_auto(GemTestLimit) scene = {0};
  g_autoptr(GemSequence) expected = NULL, one = NULL, two = NULL;
  g_autoptr(GemTestAnswer) a = NULL, b = NULL, c = NULL, d = NULL, e = NULL;

  gem_test_limit_init(&scene);
  expected = gem_engine_new_sequence(scene.engine, NULL, NULL);
  a = gem_test_limit_answer(expected, "general", GEM_PAGE_IN_DEFAULT);
  b = gem_test_limit_answer(expected, "general", GEM_PAGE_IN_DEFAULT);
  g_clear_object(&expected);
  one = gem_engine_new_sequence(scene.engine, NULL, NULL);
  two = gem_engine_new_sequence(scene.engine, NULL, NULL);
  c = gem_test_limit_answer(one, "general", GEM_PAGE_IN_DEFAULT);
  d = gem_test_limit_answer(two, "general", GEM_PAGE_IN_DEFAULT);
  g_assert_cmpuint(gem_test_limit_counters(&scene).cache_drops_budget, ==, 0);
  gem_test_limit_set(&scene, gem_engine_get_resident_bytes(scene.engine) - 1);
  g_assert_cmpuint(gem_test_limit_counters(&scene).cache_drops_budget, ==, 1);
  gem_test_limit_set(&scene, 0);
  /* It is the first one that has to run its first turn again. */
  e = gem_test_limit_answer(one, "general", GEM_PAGE_IN_DEFAULT);
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

/* Where there is room for what a cache needs, but not for what it usually takes beside it, it takes the
 * former. */
static void
test_lean_cache(void)
{
  enum { FEWER_TOKENS = MORE_TOKENS / 2 }; /* whose cache has room for some more */
  g_auto(GemTestLimit) scene = {0};
  guint64 usual = 0, limit = 0;

  gem_test_limit_init(&scene);
  for (guint round = 0; round < 2; round++) {
    g_autoptr(GemSequence) sequence = gem_engine_new_sequence(scene.engine, NULL, NULL);
    g_autoptr(GemTestAnswer) answer =
        gem_test_limit_start(sequence, FEWER_TOKENS, "general", GEM_PAGE_IN_DEFAULT);

    gem_test_answer_wait(answer);
    g_assert_no_error(answer->error);
    if (round == 0) {
      usual = answer->cache_bytes;
      gem_test_limit_relieve(scene.engine, GEM_RELIEF_IDLE_CACHES);
      limit = gem_engine_get_resident_bytes(scene.engine) + usual - 1;
      gem_test_limit_set(&scene, limit);
    } else {
      g_assert_cmpuint(answer->cache_bytes, <, usual);
      g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, limit);
    }
  }
}

/* No room for the cache: an error for that call; the sequence is as it was, and goes on when there is. */
static void
test_no_room_for_cache(void)
{
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL;
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) refused = NULL, taken = NULL;

  gem_test_limit_init(&scene);
  expected = gem_test_limit_text_alone(&scene, NULL);
  sequence = gem_engine_new_sequence(scene.engine, NULL, NULL);
  gem_test_limit_set(&scene, scene.fixed + scene.router + scene.cache / 4);
  refused = gem_test_limit_answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  check_refused(refused);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, 0);
  g_assert_cmpuint(gem_test_limit_counters(&scene).refusals, ==, 1);
  gem_test_limit_set(&scene, 0);
  taken = gem_test_limit_answer(sequence, NULL, GEM_PAGE_IN_DEFAULT);
  g_assert_cmpstr(taken->text->str, ==, expected);
}

/* No room for the pathway: who waits for it is refused, who can do without is told how often that was. */
static void
test_no_room_for_pathway(gconstpointer domain)
{
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *general = NULL;
  g_autoptr(GemTestAnswer) waits = NULL, degrades = NULL;
  guint rows;

  gem_test_limit_init(&scene);
  general = gem_test_limit_text_alone(&scene, "general");
  gem_test_limit_set(&scene, gem_test_limit_for(&scene, 1));
  waits = gem_test_limit_answer_alone(&scene, domain, GEM_PAGE_IN_WAIT);
  check_refused(waits);
  degrades = gem_test_limit_answer_alone(&scene, domain, GEM_PAGE_IN_DEGRADE);
  g_assert_no_error(degrades->error);
  g_assert_cmpstr(degrades->text->str, ==, general);
  rows = GPOINTER_TO_UINT(g_hash_table_lookup(degrades->tokens_by_pathway, "general"));
  g_assert_cmpuint(rows, >, 0);
  g_assert_cmpuint(degrades->degraded_tokens, ==, rows);
  g_assert_cmpuint(gem_test_limit_counters(&scene).degraded_tokens, ==, rows);
  g_assert_false(gem_test_limit_is_resident(&scene, "legal"));
}

/* The first block goes without, the pathway is there for those after it, and for the next answer. */
static void
test_degrade(void)
{
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL;
  g_autoptr(GemTestAnswer) first = NULL, second = NULL;
  guint rows;

  gem_test_limit_init(&scene);
  expected = gem_test_limit_text_alone(&scene, "legal");
  gem_test_limit_relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  gem_engine_set_page_in(scene.engine, GEM_PAGE_IN_DEGRADE);
  first = gem_test_limit_answer_alone(&scene, "legal", GEM_PAGE_IN_DEFAULT);
  g_assert_no_error(first->error);
  rows = first->degraded_tokens;
  g_assert_cmpuint(rows, ==, scene.test->config.prefill_block);
  g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(first->tokens_by_pathway, "general")), ==, rows);
  g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(first->tokens_by_pathway, "legal")), >, 0);
  second = gem_test_limit_answer_alone(&scene, "legal", GEM_PAGE_IN_DEFAULT);
  g_assert_cmpuint(second->degraded_tokens, ==, 0);
  g_assert_cmpstr(second->text->str, ==, expected);
  /* A call's own word comes first. */
  gem_test_limit_relieve(scene.engine, GEM_RELIEF_ALL_BUT_GENERAL);
  g_clear_pointer(&second, gem_test_answer_free);
  second = gem_test_limit_answer_alone(&scene, "legal", GEM_PAGE_IN_WAIT);
  g_assert_cmpuint(second->degraded_tokens, ==, 0);
}

/* A limit that the general part alone is above: it serves, and keeps nothing that it can do without. */
static void
test_below_general(void)
{
  g_auto(GemTestLimit) scene = {0};
  g_autofree char *expected = NULL, *text = NULL;

  gem_test_limit_init(&scene);
  expected = gem_test_limit_text_alone(&scene, NULL);
  gem_test_limit_set(&scene, scene.fixed - 1);
  g_assert_cmpuint(gem_engine_get_resident_bytes(scene.engine), <=, scene.fixed + scene.router);
  text = gem_test_limit_text_alone(&scene, NULL);
  g_assert_cmpstr(text, ==, expected);
  g_assert_cmpuint(gem_test_limit_counters(&scene).refusals, ==, 0);
}

/* Asked for by an administrator: it takes the place of others, or is refused. */
static void
test_page_in(void)
{
  g_auto(GemTestLimit) scene = {0};
  GAsyncResult *slots[3] = {NULL};
  const char *const domains[] = {"legal", "stem", "finance"};
  g_autoptr(GError) error = NULL;

  gem_test_limit_init(&scene);
  for (guint i = 0; i < 3; i++) {
    g_autoptr(GAsyncResult) result = NULL;

    gem_test_limit_set(&scene, scene.fixed + scene.pathway * (i < 2 ? 3 : 1) / 2);
    gem_engine_page_in_async(scene.engine, domains[i], NULL, gem_test_keep_result, &slots[i]);
    result = gem_test_wait_result(&slots[i]);
    g_assert_true(gem_engine_page_finish(scene.engine, result, &error) == (i < 2));
  }
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_false(gem_test_limit_is_resident(&scene, "legal"));
}

#define CHOOSERS        3u
#define ROOM_OF_CHOICES (1u << 20) /* more than they take at once */
#define CHOICE          "the house on the hill and the garden behind it in the rain"

/* So many choices at once, all there before the engine begins with one; probabilities [CHOOSERS][4], or an
 * error for want of memory. */
static gboolean
choose_at_once(GemEngine *engine, double (*ret_probabilities)[4])
{
  /* They part at once, and then twice more. */
  static const char *const labels[] = {"a garden on the hill: one", "a garden on the hill: two",
                                       "the old house in the rain: three", "the old house in the rain: four",
                                       NULL};
  GAsyncResult *slots[CHOOSERS] = {NULL};
  GemTestHold *hold = gem_test_engine_hold(engine);
  gboolean enough = TRUE;

  for (guint i = 0; i < CHOOSERS; i++) {
    g_autofree char *text =
        g_strdup_printf("the house %u on the hill and the garden behind it in the rain", i);

    gem_engine_classify_async(engine, text, labels, NULL, NULL, gem_test_keep_result, &slots[i]);
  }
  gem_test_engine_let_go(hold);
  for (guint i = 0; i < CHOOSERS; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GAsyncResult) result = gem_test_wait_result(&slots[i]);
    g_autoptr(GArray) probabilities = gem_engine_classify_finish(engine, result, &error);

    g_assert_true(probabilities != NULL || g_error_matches(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED));
    enough = enough && probabilities != NULL;
    if (probabilities != NULL) {
      memcpy(ret_probabilities[i], probabilities->data, sizeof ret_probabilities[i]);
    }
  }
  return enough;
}

/* A choice that gives its memory back between its text and its labels is the same to the last bit. */
static void
test_choices_give_way(void)
{
  g_autoptr(GemTestEngine) test = NULL;
  double expected[CHOOSERS][4], found[CHOOSERS][4];
  GemEngineCounters before, after;
  guint64 most, step;
  guint rounds = 0;

  gem_test_model_router_layers = 3; /* so that a route depends on what was before */
  test = gem_test_engine_new_started();
  gem_test_model_router_layers = 1;
  g_assert_true(choose_at_once(test->engine, expected));
  gem_engine_get_counters(test->engine, &before);
  most = gem_engine_get_resident_bytes(test->engine) + ROOM_OF_CHOICES;
  step = ROOM_OF_CHOICES / 60;
  for (guint64 limit = most; limit > step; limit -= step) {
    gem_engine_set_memory_limit(test->engine, limit);
    gem_test_limit_relieve(test->engine, GEM_RELIEF_OVER);
    if (!choose_at_once(test->engine, found)) {
      break;
    }
    g_assert_cmpmem(found, sizeof found, expected, sizeof expected);
    rounds++;
  }
  gem_engine_get_counters(test->engine, &after);
  g_test_message("%u limits, %" G_GUINT64_FORMAT " times memory was given back", rounds,
                 after.cache_drops_budget - before.cache_drops_budget);
  g_assert_cmpuint(after.cache_drops_budget, >, before.cache_drops_budget);
}

/* The least limit, in steps, under which a text's likelihood (no labels), or its label, is told. */
static guint64
find_least_limit(GemTestEngine *test, const char *const *labels)
{
  guint64 fixed = gem_engine_get_fixed_bytes(test->engine), step = 1024;
  guint64 least = 0;

  for (guint64 limit = fixed + ROOM_OF_CHOICES / 4; limit > fixed; limit -= step) {
    g_autoptr(GError) error = NULL;
    GAsyncResult *slot = NULL;
    double likelihood;
    guint64 tokens;
    gboolean enough;

    gem_engine_set_memory_limit(test->engine, limit);
    gem_test_limit_relieve(test->engine, GEM_RELIEF_OVER);
    if (labels == NULL) {
      gem_engine_score_async(test->engine, CHOICE CHOICE CHOICE, NULL, NULL, gem_test_keep_result, &slot);
    } else {
      gem_engine_classify_async(test->engine, CHOICE, labels, NULL, NULL, gem_test_keep_result, &slot);
    }
    g_autoptr(GAsyncResult) result = gem_test_wait_result(&slot);
    if (labels == NULL) {
      enough = gem_engine_score_finish(test->engine, result, &likelihood, &tokens, &error);
    } else {
      g_autoptr(GArray) probabilities = gem_engine_classify_finish(test->engine, result, &error);

      enough = probabilities != NULL;
    }
    if (!enough) {
      g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
      break;
    }
    least = limit;
  }
  g_test_message("%" G_GUINT64_FORMAT " bytes beside what stays", least - fixed);
  return least;
}

/* What saves time is not taken where there is no room for it: a choice needs no more than its text. */
static void
test_choice_without_copy(void)
{
  static const char *const labels[] = {CHOICE ": one", CHOICE ": two", NULL};
  g_autoptr(GemTestEngine) test = NULL;

  gem_test_model_router_layers = 3; /* so that the router remembers more than the cache grows by */
  test = gem_test_engine_new();
  test->config.threshold_percent = 100;
  gem_test_engine_start(test);
  gem_test_model_router_layers = 1;
  g_assert_cmpuint(find_least_limit(test, labels), <=, find_least_limit(test, NULL));
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
  g_test_add_func("/memory/lean-cache", test_lean_cache);
  g_test_add_data_func("/memory/no-room-for-pathway/forced", "legal", test_no_room_for_pathway);
  g_test_add_data_func("/memory/no-room-for-pathway/routed", NULL, test_no_room_for_pathway);
  g_test_add_func("/memory/degrade", test_degrade);
  g_test_add_func("/memory/below-general", test_below_general);
  g_test_add_func("/memory/page-in", test_page_in);
  g_test_add_func("/memory/choices-give-way", test_choices_give_way);
  g_test_add_func("/memory/choice-without-copy", test_choice_without_copy);
  return g_test_run();
}
