/*
 * What is left of a text in the process's memory when its sequence has ended: nothing. The whole of it is
 * searched for the text and for its tokens.
 */
#include <string.h>

#include "daemon/engine/gem-engine-private.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-memory.h"

typedef struct {
  GemTestEngine *test;
  gboolean raw;    /* no template around the text */
  gboolean spaces; /* every second character is one, of three tokens */
  GemTestSecret text, tokens;
} Scene;

/* A vocabulary in which a space is three tokens. */
static const char without_spaces[] = "without spaces";

static void
scene_set_up(Scene *self, gconstpointer data)
{
  self->test = gem_test_engine_new();
  self->spaces = data == &without_spaces;
  gem_test_model_has_spaces = !self->spaces;
  gem_test_engine_start(self->test);
  gem_test_model_has_spaces = TRUE;
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_test_engine_free(self->test);
  gem_test_secret_clear(&self->text);
  gem_test_secret_clear(&self->tokens);
}

/* Draws a text, keeps it and its tokens disguised, and gives it to `take`. */
static void
with_text(Scene *self, void (*take)(Scene *self, const char *text, gpointer data), gpointer data)
{
  gsize length = self->spaces ? 100 : 120;
  char *text = gem_test_draw_text(77, length);
  for (guint i = 1; self->spaces && i < length; i += 2) {
    text[i] = ' ';
  }
  GArray *tokens = gem_engine_encode_plain(self->test->engine, text, NULL, NULL);

  gem_test_secret_set(&self->text, text, strlen(text));
  /* A copy that an array which moved has left behind is of the first ones. */
  guint n = self->spaces ? 100 : tokens->len;
  gem_test_secret_set(&self->tokens, tokens->data, n * sizeof(guint32));
  gem_wipe_array(tokens);
  take(self, text, data);
  explicit_bzero(text, strlen(text));
  g_free(text);
}

/* What the engine thread was told before is done. */
static void
wait_for_engine(Scene *self)
{
  g_autofree char *other = gem_test_greedy(self->test->engine, "other", 1, NULL);

  g_assert_nonnull(other);
}

static void
generate(Scene *self, const char *text, gpointer data)
{
  GemGenerateOptions options = {.max_tokens = 5, .raw = self->raw};
  g_autoptr(GemTestAnswer) answer = gem_test_generate(data, text, &options);

  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
}

static void
test_sequence(Scene *self, gconstpointer data)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(self->test->engine, NULL, NULL);

  self->raw = GPOINTER_TO_INT(data);
  with_text(self, generate, sequence);
  wait_for_engine(self);
  /* The test would find it: a sequence that lives has its tokens. */
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 1);
  g_assert_cmpuint(gem_test_secret_count(&self->text), ==, 0);
  g_clear_object(&sequence);
  wait_for_engine(self);
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 0);
}

static void
embed(Scene *self, const char *text, gpointer data)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GArray) vector = NULL;

  gem_engine_embed_async(self->test->engine, text, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  vector = gem_engine_embed_finish(self->test->engine, result, NULL);
  g_assert_nonnull(vector);
}

static void
test_one_shot(Scene *self, gconstpointer data)
{
  with_text(self, embed, NULL);
  wait_for_engine(self);
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 0);
  g_assert_cmpuint(gem_test_secret_count(&self->text), ==, 0);
}

static void
route(Scene *self, const char *text, gpointer data)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GPtrArray) tokens = NULL;

  gem_engine_route_async(self->test->engine, text, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  tokens = gem_engine_route_finish(self->test->engine, result, NULL);
  g_assert_nonnull(tokens);
}

static void
test_route(Scene *self, gconstpointer data)
{
  with_text(self, route, NULL);
  wait_for_engine(self);
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 0);
  g_assert_cmpuint(gem_test_secret_count(&self->text), ==, 0);
}

static void
cut(Scene *self, const char *text, gpointer data)
{
  const GemPromptSpec spec = {.form = GEM_PROMPT_ASK};
  GemPrompt **ret_prompt = data;

  *ret_prompt = gem_prompt_new(self->test->engine, text, &spec, NULL);
  g_assert_nonnull(*ret_prompt);
}

/* Nothing else has used the memory since that a text was cut into tokens in. */
static void
test_prompt(Scene *self, gconstpointer data)
{
  GemPrompt *prompt = NULL;

  with_text(self, cut, &prompt);
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 1);
  g_assert_cmpuint(gem_test_secret_count(&self->text), ==, 0);
  gem_prompt_unref(prompt);
  g_assert_cmpuint(gem_test_secret_count(&self->tokens), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  if (!gem_test_can_read_memory()) {
    g_print("1..0 # SKIP the memory of a process cannot be read here\n");
    return 0;
  }
  g_test_add("/wipe/raw", Scene, GINT_TO_POINTER(TRUE), scene_set_up, test_sequence, scene_tear_down);
  g_test_add("/wipe/template", Scene, GINT_TO_POINTER(FALSE), scene_set_up, test_sequence, scene_tear_down);
  g_test_add("/wipe/prompt", Scene, NULL, scene_set_up, test_prompt, scene_tear_down);
  g_test_add("/wipe/prompt/spaces", Scene, without_spaces, scene_set_up, test_prompt, scene_tear_down);
  g_test_add("/wipe/one-shot", Scene, NULL, scene_set_up, test_one_shot, scene_tear_down);
  g_test_add("/wipe/route", Scene, NULL, scene_set_up, test_route, scene_tear_down);
  return g_test_run();
}
