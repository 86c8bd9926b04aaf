/* What the engine gives back when memory is short, step by step, and that nobody's answer changes. */
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-engine.h"

#define PROMPT "the old house on the hill"
#define MORE   "and the garden behind it"

static guint64
relieve(GemEngine *engine, GemRelief step)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  guint64 freed = 0;

  gem_engine_relieve_async(engine, step, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_relieve_finish(engine, result, &freed, &error));
  g_assert_no_error(error);
  return freed;
}

static gboolean
is_resident(GemEngine *engine, const char *domain)
{
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(engine, domain);

  return info->state == GEM_PATHWAY_RESIDENT;
}

/* Two turns of a greedy conversation, with `between` done after the first one. */
static char *
converse(GemTestEngine *test, GemSequence *sequence, const char *domain, int between)
{
  g_auto(GemGenerateOptions) options = {.max_tokens = 30, .run = {.domain = g_strdup(domain)}};
  g_autoptr(GemTestAnswer) first = gem_test_generate(sequence, PROMPT, &options);
  g_autoptr(GemTestAnswer) second = NULL;

  gem_test_answer_wait(first);
  if (between >= 0) {
    g_assert_cmpuint(relieve(test->engine, (GemRelief)between), >=, first->cache_bytes);
  }
  second = gem_test_generate(sequence, MORE, &options);
  gem_test_answer_wait(second);
  g_assert_no_error(second->error);
  /* What is run again is not counted again: the last token of the first answer is new in the second turn. */
  g_assert_cmpuint(GPOINTER_TO_UINT(g_hash_table_lookup(second->tokens_by_pathway, domain)), ==,
                   second->prompt_tokens + second->generated_tokens);
  return g_strdup_printf("%s|%s", first->text->str, second->text->str);
}

/* A session loses its cache, wiped, and goes on as if nothing had been. */
static void
test_idle_cache(gconstpointer data)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) one = NULL, two = NULL;
  g_autofree char *expected = NULL, *text = NULL;
  GemEngineCounters counters;

  gem_test_engine_start(test);
  one = gem_engine_new_sequence(test->engine, NULL, NULL);
  expected = converse(test, one, "legal", -1);
  g_clear_object(&one);
  two = gem_engine_new_sequence(test->engine, NULL, NULL);
  text = converse(test, two, "legal", GPOINTER_TO_INT(data));
  g_assert_cmpstr(text, ==, expected);
  gem_engine_get_counters(test->engine, &counters);
  g_assert_cmpuint(counters.cache_drops_relief, ==, 1);
  g_assert_cmpuint(counters.relief_steps[GPOINTER_TO_INT(data)], ==, 1);
  g_assert_cmpuint(counters.relief_bytes, >, 0);
}

/* Holds a turn where it is, in the middle of its answer; NULL when it was done before. */
static GemTestAnswer *
start_and_pause(GemSequence *sequence, const GemGenerateOptions *options)
{
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, options);

  while (answer->text_events < 2 && !answer->finished) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_generation_set_paused(answer->generation, TRUE);
  return answer->finished ? NULL : g_steal_pointer(&answer);
}

/* A turn whose reader is slow loses its cache in the middle of its answer: the rest is what it would have
 * been. */
static gboolean
drop_during(GemTestEngine *test, const GemGenerateOptions *options, const char *expected)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = start_and_pause(sequence, options);
  GemEngineCounters before, after;
  gboolean paused;

  if (answer == NULL) {
    return FALSE;
  }
  gem_engine_get_counters(test->engine, &before);
  relieve(test->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  gem_engine_get_counters(test->engine, &after);
  g_assert_cmpuint(after.cache_drops_relief, ==, before.cache_drops_relief + 1);
  /* An end that came before the pause would have been heard of by now. */
  paused = !answer->finished;
  gem_generation_set_paused(answer->generation, FALSE);
  gem_test_answer_wait(answer);
  g_assert_cmpstr(answer->text->str, ==, expected);
  return paused;
}

static char *
answer_once(GemTestEngine *test, const GemGenerateOptions *options)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, options);

  gem_test_answer_wait(answer);
  return g_strdup(answer->text->str);
}

typedef gboolean (*During)(GemTestEngine *test, const GemGenerateOptions *options, const char *expected);

/* The engine may be done with an answer before the main loop comes to `during`: then another answer. */
static void
test_during(gconstpointer data)
{
  During during = *(const During *)data;
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_auto(GemGenerateOptions)
      options = {.max_tokens = 150, .temperature = 1, .run = {.domain = g_strdup("stem")}};
  gboolean done = FALSE;

  gem_test_engine_start(test);
  for (options.seed = 1; !done; options.seed++) {
    g_autofree char *expected = answer_once(test, &options);

    g_assert_cmpuint(options.seed, <, 100);
    done = during(test, &options, expected);
  }
}

/* What the step pages out while a turn runs, which keeps its cache. FALSE: the turn ended before. */
static gboolean
relieve_during(GemTestEngine *test, GemTestAnswer *answer, GemRelief step, guint *ret_paged_out)
{
  GemEngineCounters before, after;

  gem_engine_get_counters(test->engine, &before);
  relieve(test->engine, step);
  gem_engine_get_counters(test->engine, &after);
  *ret_paged_out = (guint)(after.paging.page_outs_relief - before.paging.page_outs_relief);
  if (!answer->finished) {
    /* Its end would have been heard of before the step's. */
    g_assert_cmpuint(after.cache_drops_relief, ==, before.cache_drops_relief);
  }
  return !answer->finished;
}

/* A turn that is at work keeps its pathway and its cache up to the third step; at the last one its pathway
 * goes, too, and comes back: the answer is what it would have been.
 * FALSE: the engine was faster than this. */
static gboolean
check_running(GemTestEngine *test, const GemGenerateOptions *options, const char *expected)
{
  g_autofree char *cold = gem_test_greedy(test->engine, PROMPT, 2, "legal");
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, options);
  gboolean ran;
  guint paged_out;

  while (answer->text_events == 0 && !answer->finished) {
    g_main_context_iteration(NULL, TRUE);
  }
  ran = relieve_during(test, answer, GEM_RELIEF_IDLE_CACHES, &paged_out);
  if (ran) {
    g_assert_cmpuint(paged_out, ==, 1);
    g_assert_false(is_resident(test->engine, "legal"));
    ran = relieve_during(test, answer, GEM_RELIEF_ALL_BUT_GENERAL, &paged_out);
    g_assert_cmpuint(paged_out, ==, 1);
  }
  gem_test_answer_wait(answer);
  g_assert_cmpstr(answer->text->str, ==, expected);
  return ran;
}

/* Cold is what nobody's running text is routed to; general stays at every step. */
static void
test_pathways(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *before = NULL, *after = NULL;
  GemEngineCounters counters;
  guint64 resident;

  gem_test_engine_start(test);
  before = gem_test_greedy(test->engine, PROMPT, 10, "legal");
  resident = gem_engine_get_resident_bytes(test->engine);
  g_assert_cmpuint(relieve(test->engine, GEM_RELIEF_READ_AHEAD), ==, 0);
  g_assert_true(is_resident(test->engine, "legal"));
  g_assert_cmpuint(relieve(test->engine, GEM_RELIEF_COLD_PATHWAYS), >, 0);
  g_assert_false(is_resident(test->engine, "legal"));
  g_assert_true(is_resident(test->engine, "general"));
  g_assert_cmpuint(gem_engine_get_resident_bytes(test->engine), <, resident);
  /* Under pressure it serves all the same. */
  after = gem_test_greedy(test->engine, PROMPT, 10, "legal");
  g_assert_cmpstr(after, ==, before);
  g_assert_cmpuint(relieve(test->engine, GEM_RELIEF_OVER), ==, 0);
  g_assert_true(is_resident(test->engine, "legal"));
  gem_engine_get_counters(test->engine, &counters);
  g_assert_cmpuint(counters.paging.page_ins, ==, 2);
  g_assert_cmpuint(counters.paging.page_outs_relief, ==, 1);
  g_assert_cmpuint(counters.paging.page_outs_asked, ==, 0);
}

/* Bytes of this process in memory. */
static guint64
resident_now(void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) pages = NULL; /* all, resident, ... */

  g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
  pages = g_strsplit(text, " ", 3);
  return g_ascii_strtoull(pages[1], NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}

/* What is given back is the system's, not a heap's. */
static void
test_goes_back(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GPtrArray) sequences = g_ptr_array_new_with_free_func(g_object_unref);
  g_autoptr(GString) text = g_string_new(NULL);
  g_auto(GemGenerateOptions) options = {.max_tokens = 1, .run = {.domain = g_strdup("general")}};
  guint64 before, freed;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  g_test_skip("a sanitizer keeps what is freed");
  return;
#endif
  /* Caches of a size that a heap hands out, with what stays between them. */
  test->config.max_sequences = 400;
  test->config.prefill_block = 64;
  gem_test_engine_start(test);
  while (text->len < 60) {
    g_string_append(text, "q");
  }
  for (guint i = 0; i < 400; i++) {
    GemSequence *sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
    g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, text->str, &options);

    g_ptr_array_add(sequences, sequence);
    gem_test_answer_wait(answer);
    g_assert_no_error(answer->error);
  }
  before = resident_now();
  freed = relieve(test->engine, GEM_RELIEF_IDLE_CACHES);
  g_test_message("%.1f MB before, %.1f MB of caches, %.1f MB after", (double)before / 1e6,
                 (double)freed / 1e6, (double)resident_now() / 1e6);
  g_assert_cmpuint(freed, >, 8 << 20);
  /* What had never been written to was in no memory. */
  g_assert_cmpuint(resident_now() + freed / 2, <, before);
}

/* A routed turn that loses what router and cache remember while it is paused, and finds room for a share of
 * it when it goes on: it goes on, or ends once, for that reason. TRUE: it ended so. */
static gboolean
go_on_with_less(GemTestEngine *test, guint percent)
{
  const GemGenerateOptions options = {.max_tokens = 150, .temperature = 1, .seed = percent};
  guint64 fixed = gem_engine_get_fixed_bytes(test->engine), held;
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = start_and_pause(sequence, &options);

  if (answer == NULL) {
    return FALSE;
  }
  held = gem_engine_get_resident_bytes(test->engine) - fixed;
  relieve(test->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  gem_engine_set_memory_limit(test->engine, fixed + held * percent / 100);
  gem_generation_set_paused(answer->generation, FALSE);
  gem_test_answer_wait(answer);
  gem_engine_set_memory_limit(test->engine, 0);
  if (answer->error != NULL) {
    g_assert_error(answer->error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  }
  return answer->error != NULL;
}

static void
test_less_room(void)
{
  g_autoptr(GemTestEngine) test = NULL;
  guint refused = 0;

  gem_test_model_router_layers = 8; /* it remembers more than the cache has */
  test = gem_test_engine_new();
  test->config.threshold_percent = 100;
  gem_test_engine_write(test, FALSE);
  gem_test_engine_start(test);
  for (guint percent = 1; percent <= 100; percent += 3) {
    refused += go_on_with_less(test, percent) ? 1 : 0;
  }
  gem_test_model_router_layers = 1;
  g_assert_cmpuint(refused, >, 0);
}

/* What one answer leaves in memory beyond what stays. */
static guint64
measure_one(GemTestEngine *test, const GemGenerateOptions *options)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, options);

  gem_test_answer_wait(answer);
  relieve(test->engine, GEM_RELIEF_OVER); /* it has counted by then */
  return gem_engine_get_resident_bytes(test->engine) - gem_engine_get_fixed_bytes(test->engine);
}

/* Two turns that have both lost what is remembered of them, and find room for `percent` of what one needs:
 * when one needs it, the other one's token may wait to be appended. Each has the room in its turn, and none
 * fails for what the other holds. */
static void
go_on_in_turns(GemTestEngine *test, guint percent)
{
  const GemGenerateOptions options = {.max_tokens = 60, .temperature = 1, .seed = percent};
  guint64 fixed = gem_engine_get_fixed_bytes(test->engine), one = measure_one(test, &options);
  g_autoptr(GemSequence) one_text = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemSequence) other_text = gem_engine_new_sequence(test->engine, NULL, NULL);
  g_autoptr(GemTestAnswer) first = gem_test_generate(one_text, PROMPT, &options);
  g_autoptr(GemTestAnswer) second = gem_test_generate(other_text, PROMPT, &options);

  while (second->text_events < 2 && !second->finished && !first->finished) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_generation_set_paused(first->generation, TRUE);
  gem_generation_set_paused(second->generation, TRUE);
  relieve(test->engine, GEM_RELIEF_ALL_BUT_GENERAL);
  gem_engine_set_memory_limit(test->engine, fixed + one * percent / 100);
  gem_generation_set_paused(first->generation, FALSE);
  gem_generation_set_paused(second->generation, FALSE);
  gem_test_answer_wait(first);
  gem_test_answer_wait(second);
  gem_engine_set_memory_limit(test->engine, 0);
  g_assert_no_error(first->error);
  g_assert_no_error(second->error);
}

static void
test_in_turns(void)
{
  g_autoptr(GemTestEngine) test = NULL;

  gem_test_model_router_layers = 8;
  test = gem_test_engine_new();
  test->config.threshold_percent = 100;
  gem_test_engine_write(test, FALSE);
  gem_test_engine_start(test);
  for (guint percent = 100; percent <= 200; percent += 5) {
    go_on_in_turns(test, percent);
  }
  gem_test_model_router_layers = 1;
}

static void
test_stopped(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_engine_start(test);
  gem_engine_stop(test->engine);
  gem_engine_relieve_async(test->engine, GEM_RELIEF_IDLE_CACHES, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_false(gem_engine_relieve_finish(test->engine, result, NULL, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN);
}

int
main(int argc, char **argv)
{
  static const During paused = drop_during, running = check_running;

  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/relief/idle-cache", GINT_TO_POINTER(GEM_RELIEF_IDLE_CACHES), test_idle_cache);
  g_test_add_data_func("/relief/idle-cache-last", GINT_TO_POINTER(GEM_RELIEF_ALL_BUT_GENERAL),
                       test_idle_cache);
  g_test_add_data_func("/relief/paused-turn", &paused, test_during);
  g_test_add_data_func("/relief/running-turn", &running, test_during);
  g_test_add_func("/relief/pathways", test_pathways);
  g_test_add_func("/relief/goes-back", test_goes_back);
  g_test_add_func("/relief/less-room", test_less_room);
  g_test_add_func("/relief/in-turns", test_in_turns);
  g_test_add_func("/relief/stopped", test_stopped);
  return g_test_run();
}
