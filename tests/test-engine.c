#include "tests/gem-test-engine.h"

static void
test_generate(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  GemGenerateOptions options = {.max_tokens = 20};

  gem_test_engine_start(test);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  answer = gem_test_generate(sequence, "Hello there", &options);
  gem_test_answer_wait(answer);
  g_test_message("%u %u %s", answer->reason, answer->generated_tokens, answer->text->str);
  g_assert_cmpuint(answer->generated_tokens, ==, 20);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/engine/generate", test_generate);
  return g_test_run();
}
