/* A hidden state that overflows: each call that it belongs to fails, whatever the type of the output's
 * matrix. */
#include "daemon/engine/gem-engine-private.h"
#include "tests/gem-test-engine.h"

#define TEXT "the rain in the valley"

/* The last norm before the output, one of whose weights is about as large as a float can be while
 * `overflows`. Nothing runs meanwhile. */
static void
set_overflow(const GemTestEngine *test, gboolean overflows)
{
  const GemModel *model = test->engine->runtime->model;

  model->layers[test->shape.layers - 1].ffn_norm[0] = overflows ? G_MAXFLOAT / 2 : 1.0f;
}

static GemTestEngine *
start(GemType type)
{
  GemTestEngine *test = gem_test_engine_new();

  gem_test_model_write(test->folder, &test->shape, type, 7);
  test->model_path = g_strdup(test->folder);
  test->config.model_path = test->model_path;
  gem_test_engine_start(test);
  return test;
}

static void
check_error(const GError *error, gboolean overflows, const char *message)
{
  if (overflows) {
    g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==, message);
  } else {
    g_assert_no_error(error);
  }
}

static void
check_turn(const GemTestEngine *test, gboolean overflows)
{
  const GemGenerateOptions options = {.max_tokens = 3};
  g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
  g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, TEXT, &options);

  gem_test_answer_wait(answer);
  check_error(answer->error, overflows, "the model gave no finite logits");
  if (overflows) {
    g_assert_cmpint(answer->reason, ==, GEM_FINISH_FAILED);
    g_assert_cmpuint(answer->generated_tokens, ==, 0);
  }
}

static void
check_classify(const GemTestEngine *test, gboolean overflows)
{
  static const char *const labels[] = {"yes", "no", "perhaps", "perhaps not", NULL};
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GArray) probabilities = NULL;

  gem_engine_classify_async(test->engine, TEXT, labels, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  probabilities = gem_engine_classify_finish(test->engine, result, &error);
  check_error(error, overflows, "the model gave no finite logits");
  g_assert_true((probabilities == NULL) == overflows);
}

static void
check_score(const GemTestEngine *test, gboolean overflows)
{
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  double likelihood;
  guint64 tokens;

  gem_engine_score_async(test->engine, TEXT, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_score_finish(test->engine, result, &likelihood, &tokens, &error) != overflows);
  check_error(error, overflows, "the model gave no finite logits");
}

static void
check_embed(const GemTestEngine *test, gboolean overflows)
{
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GArray) embedding = NULL;

  gem_engine_embed_async(test->engine, TEXT, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  embedding = gem_engine_embed_finish(test->engine, result, &error);
  check_error(error, overflows, "the text's hidden states have no direction");
  g_assert_true((embedding == NULL) == overflows);
}

/* Each kind of call fails, and the next one, on a model that is whole, is answered. */
static void
test_overflow(gconstpointer data)
{
  g_autoptr(GemTestEngine) test = start((GemType)GPOINTER_TO_UINT(data));

  for (guint round = 0; round < 2; round++) {
    gboolean overflows = round == 0;

    set_overflow(test, overflows);
    check_turn(test, overflows);
    check_classify(test, overflows);
    check_score(test, overflows);
    check_embed(test, overflows);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/overflow/output-of-halves", GUINT_TO_POINTER(GEM_TYPE_F16), test_overflow);
  g_test_add_data_func("/overflow/output-of-levels", GUINT_TO_POINTER(GEM_TYPE_Q8_0), test_overflow);
  return g_test_run();
}
