/* Conversations: what is generated, when it ends, and what is left afterwards. */
#include <string.h>

#include "daemon/engine/gem-sequence-state.h"
#include "daemon/engine/gem-text-stream.h"
#include "tests/gem-test-engine.h"
#include "tests/reference-forward.h"

#define PROMPT "the old house on the hill"

/* One turn in a new sequence. */
static GemTestAnswer *
ask(const GemTestEngine *test, const GemGenerateOptions *options)
{
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  GemTestAnswer *answer = gem_test_generate(sequence, PROMPT, options);

  gem_test_answer_wait(answer);
  return answer;
}

/* ---- the text ---- */

/* Appends n greedy tokens by the reference, general alone, to `tokens`; returns their text. */
static char *
reference_greedy(GemModelFiles *files, GemTokenizer *tokenizer, GArray *tokens, guint n)
{
  g_autoptr(GemTextStream) stream = gem_text_stream_new(NULL);
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < n; i++) {
    g_autofree guint8 *routes = g_malloc(tokens->len);
    g_autofree double *logits = NULL;
    const double *last;
    guint32 best = 0;
    gsize length;
    const char *bytes;

    memset(routes, GEM_ROUTE_GENERAL, tokens->len);
    logits = reference_forward(files, (const guint32 *)(gpointer)tokens->data, tokens->len, routes, 0, FALSE,
                               FALSE);
    last = logits + (gsize)(tokens->len - 1) * files->shape.vocab;
    for (guint32 t = 1; t < files->shape.vocab; t++) {
      best = last[t] > last[best] ? t : best;
    }
    g_array_append_val(tokens, best);
    bytes = gem_tokenizer_token_bytes(tokenizer, best, &length);
    gem_text_stream_push(stream, bytes, length, text);
  }
  gem_text_stream_finish(stream, text);
  return g_string_free(text, FALSE);
}

/* Two turns give what the reference gives over all their tokens: the cache is shared, and only the first turn
 * begins with <s>. */
static void
test_two_turns(void)
{
  enum { GENERATED = 6 };
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  g_autoptr(GemModelFiles) files = gem_model_files_open(test->model_path, NULL);
  g_autoptr(GemTokenizer) tokenizer = gem_tokenizer_new_from_gguf(files->general, NULL);
  g_auto(GemGenerateOptions) options = {.max_tokens = GENERATED, .run = {.domain = g_strdup("general")}};
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  static const char *const prompts[] = {PROMPT, "and then"};

  for (guint turn = 0; turn < G_N_ELEMENTS(prompts); turn++) {
    g_autoptr(GArray) prompt = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, prompts[turn], &options);
    g_autofree char *expected = NULL;

    g_assert_true(
        gem_tokenizer_encode_template(tokenizer, test->shape.ask_template, prompts[turn], prompt, NULL));
    g_assert_cmpuint(g_array_index(prompt, guint32, 0), ==, GEM_TEST_BOS);
    if (turn > 0) {
      g_array_remove_index(prompt, 0);
    }
    g_array_append_vals(tokens, prompt->data, prompt->len);
    expected = reference_greedy(files, tokenizer, tokens, GENERATED);

    gem_test_answer_wait(answer);
    g_assert_cmpuint(answer->reason, ==, GEM_FINISH_LIMIT);
    g_assert_cmpuint(answer->prompt_tokens, ==, prompt->len);
    g_assert_cmpuint(answer->generated_tokens, ==, GENERATED);
    g_assert_cmpstr(answer->text->str, ==, expected);
    g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, tokens->len);
  }
}

static void
test_seed(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 30, .temperature = 1, .top_k = 50, .top_p = 0.95, .seed = 9};
  g_autoptr(GemTestAnswer) first = ask(test, &options);
  g_autoptr(GemTestAnswer) again = ask(test, &options);
  g_autoptr(GemTestAnswer) other = NULL;

  options.seed = 10;
  other = ask(test, &options);
  g_assert_cmpstr(first->text->str, ==, again->text->str);
  g_assert_cmpstr(first->text->str, !=, other->text->str);
}

/* The text as it is: no template around it. */
static void
test_raw(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 4};
  g_autoptr(GemTestAnswer) asked = ask(test, &options);
  g_autoptr(GemTestAnswer) raw = NULL;
  guint64 plain;

  options.raw = TRUE;
  raw = ask(test, &options);
  g_assert_true(gem_test_count_tokens(test->engine, PROMPT, &plain, NULL));
  g_assert_cmpuint(raw->prompt_tokens, ==, plain + 1);
  g_assert_cmpuint(asked->prompt_tokens, ==, plain + 3);
}

/* Two stream at once: both get text before either is done, and each the text that it gets alone. */
static void
test_two_at_once(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 80, .temperature = 0.8, .seed = 3};
  g_autoptr(GemTestAnswer) alone = ask(test, &options);
  g_autoptr(GemSequence) one = gem_test_engine_new_sequence(test);
  g_autoptr(GemSequence) two = gem_test_engine_new_sequence(test);
  GemTestHold *hold = gem_test_engine_hold(test->engine);
  g_autoptr(GemTestAnswer) first = gem_test_generate(one, PROMPT, &options);
  g_autoptr(GemTestAnswer) second = gem_test_generate(two, PROMPT, &options);

  gem_test_engine_let_go(hold);
  gem_test_answer_wait(first);
  gem_test_answer_wait(second);
  g_assert_cmpuint(first->began, <, second->ended);
  g_assert_cmpuint(second->began, <, first->ended);
  g_assert_cmpstr(first->text->str, ==, alone->text->str);
  g_assert_cmpstr(second->text->str, ==, alone->text->str);
}

/* A long prompt is prefilled a block at a time: who streams meanwhile is done before it. */
static void
test_long_prefill(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *prompt = g_strnfill(3000, 'x');
  GemGenerateOptions options = {.max_tokens = 50};
  GemGenerateOptions brief = {.max_tokens = 1};
  GemTestHold *hold;
  g_autoptr(GemSequence) streaming = NULL;
  g_autoptr(GemSequence) prefilling = NULL;
  g_autoptr(GemTestAnswer) stream = NULL;
  g_autoptr(GemTestAnswer) prefill = NULL;

  test->shape.context = 4096;
  test->config.context = 4096;
  test->config.prefill_block = 4;
  gem_test_engine_start(test);
  streaming = gem_test_engine_new_sequence(test);
  prefilling = gem_test_engine_new_sequence(test);
  hold = gem_test_engine_hold(test->engine);
  prefill = gem_test_generate(prefilling, prompt, &brief);
  stream = gem_test_generate(streaming, PROMPT, &options);
  gem_test_engine_let_go(hold);
  gem_test_answer_wait(prefill);
  g_assert_true(stream->finished);
}

/* ---- ends ---- */

static void
test_limit(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 7};
  g_autoptr(GemTestAnswer) answer = ask(test, &options);

  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_LIMIT);
  g_assert_cmpuint(answer->generated_tokens, ==, 7);
  g_assert_cmpuint(answer->cache_bytes, >, 0);
  g_assert_no_error(answer->error);
}

/* The end of text is not shown, and the next turn goes on after it. */
static void
test_end(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  GemGenerateOptions options = {.max_tokens = 200, .temperature = 4};
  g_autoptr(GemTestAnswer) answer = NULL;
  g_autoptr(GemTestAnswer) next = NULL;
  guint tokens;

  for (options.seed = 0; answer == NULL || answer->reason != GEM_FINISH_END; options.seed++) {
    g_assert_cmpuint(options.seed, <, 50);
    g_clear_pointer(&answer, gem_test_answer_free);
    g_clear_object(&sequence);
    sequence = gem_test_engine_new_sequence(test);
    answer = gem_test_generate(sequence, PROMPT, &options);
    gem_test_answer_wait(answer);
  }
  g_assert_cmpuint(answer->generated_tokens, <, 200);
  g_assert_null(strstr(answer->text->str, "</s>"));
  tokens = gem_sequence_get_tokens(sequence);
  g_assert_cmpuint(tokens, ==, answer->prompt_tokens + answer->generated_tokens);

  options = (GemGenerateOptions){.max_tokens = 3};
  next = gem_test_generate(sequence, "go", &options);
  gem_test_answer_wait(next);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==,
                   tokens + next->prompt_tokens + next->generated_tokens);
}

/* Whatever part of an answer is a stop string ends the answer right before its first place. */
static void
test_stop(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  GemGenerateOptions options = {.max_tokens = 60, .temperature = 1, .seed = 5};
  g_autoptr(GemTestAnswer) whole = ask(test, &options);
  glong characters = g_utf8_strlen(whole->text->str, -1);

  g_assert_cmpint(characters, >, 20);
  for (glong at = 3; at < characters - 4; at += 5) {
    g_autofree char *part = g_utf8_substring(whole->text->str, at, at + 3);
    const char *place = strstr(whole->text->str, part);
    g_autofree char *expected = g_strndup(whole->text->str, (gsize)(place - whole->text->str));
    const char *stop[] = {part, "never in there", NULL};
    g_autoptr(GemTestAnswer) answer = NULL;

    options.stop = (GStrv)stop;
    answer = ask(test, &options);
    g_assert_cmpuint(answer->reason, ==, GEM_FINISH_STOP);
    g_assert_cmpstr(answer->text->str, ==, expected);
  }
}

static void
test_context_full(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  g_autoptr(GemGeneration) refused = NULL;
  g_autoptr(GError) error = NULL;
  GemGenerationEvents events = {0};

  test->config.context = 48;
  gem_test_engine_start(test);
  sequence = gem_test_engine_new_sequence(test);
  answer = gem_test_generate(sequence, PROMPT, NULL);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->reason, ==, GEM_FINISH_CONTEXT);
  g_assert_cmpuint(gem_sequence_get_tokens(sequence), ==, 48);
  g_assert_cmpuint(answer->prompt_tokens + answer->generated_tokens, ==, 48);

  refused = gem_sequence_generate(sequence, "more", NULL, &events, NULL, NULL, &error);
  g_assert_null(refused);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED);
  g_assert_nonnull(strstr(error->message, "48"));
}

/* One turn that runs into its limit: a random model may end its text before, then another seed is taken. */
static GemTestAnswer *
generate_to_limit(GemSequence *sequence, const char *prompt, GemGenerateOptions *options)
{
  for (guint tries = 0; tries < 20; tries++) {
    g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, prompt, options);

    gem_test_answer_wait(answer);
    if (answer->reason != GEM_FINISH_END) {
      g_assert_cmpuint(answer->reason, ==, GEM_FINISH_LIMIT);
      return g_steal_pointer(&answer);
    }
    options->seed++;
  }
  g_assert_not_reached();
}

/* With `slide` the older half goes, as often as needed; a later turn's prompt makes room in the same way. */
static void
test_slide(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  GemGenerateOptions options = {.max_tokens = 40, .temperature = 1, .slide = TRUE};

  test->config.context = 48;
  gem_test_engine_start(test);
  sequence = gem_test_engine_new_sequence(test);
  for (guint turn = 0; turn < 3; turn++) {
    g_autoptr(GemTestAnswer) answer = generate_to_limit(sequence, PROMPT, &options);

    g_assert_cmpuint(answer->generated_tokens, ==, 40);
    g_assert_cmpuint(answer->slides, >=, 1);
    g_assert_cmpuint(answer->slides, <=, 3);
    g_assert_cmpuint(gem_sequence_get_tokens(sequence), <=, 48);
  }
}

/* ---- figures ---- */

/* Routes come for every token, prompt first, by the rule; places name the prompt's own bytes. */
static void
test_routes(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  GemGenerateOptions options = {.max_tokens = 12};
  GHashTableIter iter;
  gpointer rows;
  gsize end = 0;
  guint sum = 0;

  test->config.threshold_percent = 35;
  gem_test_engine_start(test);
  sequence = gem_test_engine_new_sequence(test);
  answer = gem_test_generate_routed(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->routed->len, ==, answer->prompt_tokens + answer->generated_tokens);
  for (guint i = 0; i < answer->prompt_tokens; i++) {
    const GemRoutedToken *token = answer->routed->pdata[i];
    g_autoptr(GemPathwayInfo) info = NULL;

    if (token->length > 0) {
      g_assert_cmpuint(token->offset, ==, end);
      end += token->length;
    }
    info = gem_engine_get_pathway(test->engine, token->pathway);
    g_assert_nonnull(info);
  }
  g_assert_cmpuint(end, ==, strlen(PROMPT));
  g_assert_cmpstr(((GemRoutedToken *)answer->routed->pdata[0])->piece, ==, "<s>");

  g_hash_table_iter_init(&iter, answer->tokens_by_pathway);
  while (g_hash_table_iter_next(&iter, NULL, &rows)) {
    sum += GPOINTER_TO_UINT(rows);
  }
  /* The last token drawn has not run yet. */
  g_assert_cmpuint(sum, ==, answer->prompt_tokens + answer->generated_tokens - 1);
}

/* The routes of a long prompt come a part at a time, so that the main loop serves others between, and before
 * the end of the turn. */
static void
test_many_routes(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GString) prompt = g_string_new(NULL);
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  GemGenerateOptions options = {.max_tokens = 1};
  guint most = 0;

  for (guint i = 0; i < 200; i++) {
    g_string_append_c(prompt, 'q');
  }
  gem_test_engine_start(test);
  sequence = gem_test_engine_new_sequence(test);
  answer = gem_test_generate_routed(sequence, prompt->str, &options);
  while (!answer->finished) {
    guint before = answer->routed->len;

    g_main_context_iteration(NULL, TRUE);
    most = MAX(most, answer->routed->len - before);
  }
  g_assert_no_error(answer->error);
  g_assert_cmpuint(answer->routed->len, ==, answer->prompt_tokens + answer->generated_tokens);
  g_assert_cmpuint(answer->prompt_tokens, >, 130);
  g_assert_cmpuint(most, <=, 66);
}

/* Caches count as resident and go with their sequence. */
static void
test_resident_bytes(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  g_auto(GemGenerateOptions) options = {.max_tokens = 5, .run = {.domain = g_strdup("general")}};
  guint64 before;

  gem_test_engine_start(test);
  /* What modules keep grows with the longest sequence: one as long as the next. */
  sequence = gem_test_engine_new_sequence(test);
  answer = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  g_clear_pointer(&answer, gem_test_answer_free);
  g_clear_object(&sequence);
  gem_test_run_main_loop(10);

  before = gem_engine_get_resident_bytes(test->engine);
  g_assert_cmpuint(before, >, 0);
  sequence = gem_test_engine_new_sequence(test);
  answer = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  for (guint i = 0; gem_engine_get_resident_bytes(test->engine) < before + answer->cache_bytes; i++) {
    g_assert_cmpuint(i, <, 100);
    gem_test_run_main_loop(10);
  }
  g_clear_pointer(&answer, gem_test_answer_free);
  g_clear_object(&sequence);
  for (guint i = 0; gem_engine_get_resident_bytes(test->engine) != before; i++) {
    g_assert_cmpuint(i, <, 100);
    gem_test_run_main_loop(10);
  }
}

/* The engine shows that it lives while it has nothing to do. */
static void
test_beat(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new_started();
  gint64 first = gem_engine_get_last_beat(test->engine);

  g_assert_cmpint(g_get_monotonic_time() - first, <, 2 * G_USEC_PER_SEC);
  for (guint i = 0; gem_engine_get_last_beat(test->engine) == first; i++) {
    g_assert_cmpuint(i, <, 15);
    g_usleep(100000);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/engine/two-turns", test_two_turns);
  g_test_add_func("/engine/seed", test_seed);
  g_test_add_func("/engine/raw", test_raw);
  g_test_add_func("/engine/two-at-once", test_two_at_once);
  g_test_add_func("/engine/long-prefill", test_long_prefill);
  g_test_add_func("/engine/limit", test_limit);
  g_test_add_func("/engine/end", test_end);
  g_test_add_func("/engine/stop", test_stop);
  g_test_add_func("/engine/context-full", test_context_full);
  g_test_add_func("/engine/slide", test_slide);
  g_test_add_func("/engine/routes", test_routes);
  g_test_add_func("/engine/many-routes", test_many_routes);
  g_test_add_func("/engine/resident-bytes", test_resident_bytes);
  g_test_add_func("/engine/beat", test_beat);
  return g_test_run();
}
