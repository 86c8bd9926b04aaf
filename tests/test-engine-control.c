/* Conversations from outside: turns that are cancelled, paused, or ended with the engine. */
#include "tests/gem-test-engine.h"

#define PROMPT "the old house on the hill"

/* A turn that is cancelled after its third text. The engine may be done before that is heard: once more. */
static GemTestAnswer *
cancel_after_three(GemTestEngine *test, GemSequence **sequence)
{
  GemGenerateOptions options = {.max_tokens = 200};

  for (guint tries = 0; tries < 50; tries++) {
    g_autoptr(GemTestAnswer) answer = NULL;

    g_clear_object(sequence);
    *sequence = gem_test_engine_new_sequence(test);
    answer = gem_test_generate(*sequence, PROMPT, &options);
    answer->cancel_after = 3;
    gem_test_answer_wait(answer);
    if (answer->reason == GEM_FINISH_CANCELLED) {
      return g_steal_pointer(&answer);
    }
  }
  g_assert_not_reached();
}

static void
test_cancel(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  g_autoptr(GemSequence) sequence = NULL;
  GemGenerateOptions options = {.max_tokens = 2};
  g_autoptr(GemTestAnswer) answer = cancel_after_three(test, &sequence);
  g_autoptr(GemTestAnswer) next = NULL;
  guint tokens;

  g_assert_no_error(answer->error);
  g_assert_cmpuint(answer->generated_tokens, <, 200);
  /* Prompt and answer so far stay, and the next turn goes on from there. */
  tokens = gem_sequence_get_tokens(sequence);
  g_assert_cmpuint(tokens, ==, answer->prompt_tokens + answer->generated_tokens);
  next = gem_test_generate(sequence, "go on", &options);
  gem_test_answer_wait(next);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, tokens + next->prompt_tokens + 2);
  gem_generation_cancel(next->generation);
}

/* Cancelled before its first token, a turn leaves nothing behind: the next answer is that of a new sequence.
 */
static void
test_cancel_prefill(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *prompt = g_strnfill(3000, 'y');
  GemGenerateOptions options = {.max_tokens = 20};
  g_autofree char *expected = NULL;
  g_autofree char *first = NULL;
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) start = NULL;
  g_autoptr(GemTestAnswer) cancelled = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  guint tokens;

  /* Long enough that it is not done when it is cancelled. */
  test->shape.context = 4096;
  test->config.context = 4096;
  test->config.prefill_block = 1;
  test->config.threshold_percent = 35;
  gem_test_engine_start(test);
  sequence = gem_test_engine_new_sequence(test);
  start = gem_test_generate(sequence, "so", &options);
  gem_test_answer_wait(start);
  tokens = gem_sequence_get_tokens(sequence);

  cancelled = gem_test_generate(sequence, prompt, &options);
  g_usleep(2000);
  gem_generation_cancel(cancelled->generation);
  gem_test_answer_wait(cancelled);
  g_assert_cmpuint(cancelled->reason, ==, GEM_FINISH_CANCELLED);
  g_assert_cmpuint(cancelled->generated_tokens, ==, 0);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, tokens);

  answer = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  g_clear_object(&sequence);
  sequence = gem_test_engine_new_sequence(test);
  g_clear_pointer(&start, gem_test_answer_free);
  start = gem_test_generate(sequence, "so", &options);
  gem_test_answer_wait(start);
  g_clear_pointer(&cancelled, gem_test_answer_free);
  cancelled = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(cancelled);
  g_assert_cmpstr(answer->text->str, ==, cancelled->text->str);
}

static void
test_pause(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 100};
  g_autofree char *expected = gem_test_greedy(test->engine, PROMPT, 100, NULL);
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  GemTestHold *hold = gem_test_engine_hold(test->engine);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, &options);
  g_autofree char *other = NULL;
  guint events;

  gem_generation_set_paused(answer->generation, TRUE);
  gem_test_engine_let_go(hold);
  gem_test_run_main_loop(50);
  events = answer->text_events;
  g_assert_false(answer->finished);
  /* Others go on meanwhile. */
  other = gem_test_greedy(test->engine, PROMPT, 100, NULL);
  g_assert_cmpstr(other, ==, expected);
  g_assert_cmpuint(answer->text_events, ==, events);

  gem_generation_set_paused(answer->generation, FALSE);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_LIMIT);
  g_assert_cmpstr(answer->text->str, ==, expected);
}

/* A paused generation can be cancelled. */
static void
test_cancel_paused(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  GemTestHold *hold = gem_test_engine_hold(test->engine);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, NULL);

  gem_generation_set_paused(answer->generation, TRUE);
  gem_generation_cancel(answer->generation);
  gem_test_engine_let_go(hold);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_CANCELLED);
}

static void
test_shutdown(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  g_autoptr(GemSequence) other = NULL;
  g_autoptr(GError) error = NULL;
  GemTestHold *hold = gem_test_engine_hold(test->engine);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, PROMPT, NULL);
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  gem_generation_set_paused(answer->generation, TRUE);
  gem_test_engine_let_go(hold);
  gem_engine_stop(test->engine);
  gem_engine_stop(test->engine);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_SHUTDOWN);

  other = gem_engine_new_sequence(test->engine, NULL, &error);
  g_assert_null(other);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN);
  g_clear_error(&error);
  gem_engine_embed_async(test->engine, "text", NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_null(gem_engine_embed_finish(test->engine, result, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN);
  g_assert_null(gem_engine_get_pathway(test->engine, "legal"));
  g_assert_cmpuint(gem_engine_get_resident_bytes(test->engine), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/engine-control/cancel", test_cancel);
  g_test_add_func("/engine-control/cancel-prefill", test_cancel_prefill);
  g_test_add_func("/engine-control/pause", test_pause);
  g_test_add_func("/engine-control/cancel-paused", test_cancel_paused);
  g_test_add_func("/engine-control/shutdown", test_shutdown);
  return g_test_run();
}
