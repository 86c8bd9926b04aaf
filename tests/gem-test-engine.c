#include "tests/gem-test-engine.h"

#include <glib/gstdio.h>

#include "daemon/engine/gem-engine-private.h"
#include "tests/gem-test-modules.h"

#define MODEL_SEED 7u

GemTestEngine *
gem_test_engine_new(void)
{
  GemTestEngine *self = g_new0(GemTestEngine, 1);

  self->folder = gem_test_folder_new();
  self->plugin_dir = gem_test_build_path("plugins", NULL);
  self->dirs[0] = self->plugin_dir;
  gem_test_model_shape(&self->shape);
  self->shape.heads = 2;
  self->shape.kv_heads = 2;
  self->shape.head_dim = 32;
  self->shape.rope_dim = 32;
  self->config = (GemEngineConfig){
      .plugin_dirs = self->dirs,
      .threshold_percent = -1,
      .context = 256,
      .prefill_block = 8,
  };
  return self;
}

void
gem_test_engine_write(GemTestEngine *self, gboolean llama)
{
  g_free(self->model_path);
  if (llama) {
    self->model_path = g_build_filename(self->folder, "lone.gguf", NULL);
    gem_test_model_write_llama(self->model_path, &self->shape, GEM_TYPE_F16, MODEL_SEED);
  } else {
    self->model_path = g_strdup(self->folder);
    gem_test_model_write(self->folder, &self->shape, GEM_TYPE_F16, MODEL_SEED);
  }
  self->config.model_path = self->model_path;
}

void
gem_test_engine_start(GemTestEngine *self)
{
  g_autoptr(GError) error = NULL;

  if (self->model_path == NULL) {
    gem_test_engine_write(self, FALSE);
  }
  self->engine = gem_engine_new(&self->config, &error);
  g_assert_no_error(error);
  g_assert_nonnull(self->engine);
}

GemTestEngine *
gem_test_engine_new_started(void)
{
  GemTestEngine *self = gem_test_engine_new();

  gem_test_engine_start(self);
  return self;
}

GemSequence *
gem_test_engine_new_sequence(const GemTestEngine *self)
{
  g_autoptr(GError) error = NULL;
  GemSequence *sequence = gem_engine_new_sequence(self->engine, NULL, &error);

  g_assert_no_error(error);
  return sequence;
}

void
gem_test_engine_free(GemTestEngine *self)
{
  if (self->engine != NULL) {
    gem_engine_stop(self->engine);
    /* What the stop has posted holds references. */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_object_add_weak_pointer(G_OBJECT(self->engine), (gpointer *)&self->engine);
    g_object_unref(self->engine);
    /* A thread that worked for it, as one that looks for devices, may be the last to let go. */
    for (guint i = 0; i < 5000 && g_atomic_pointer_get(&self->engine) != NULL; i++) {
      g_usleep(1000);
    }
    g_assert_null(self->engine);
  }
  gem_model_shape_clear(&self->shape);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self->model_path);
  g_free(self->plugin_dir);
  g_free(self);
}

GemRuntime *
gem_test_engine_open_runtime(GemTestEngine *self, GemModelFiles **ret_files)
{
  g_autoptr(GError) error = NULL;
  GemRuntime *runtime;

  if (self->model_path == NULL) {
    gem_test_engine_write(self, FALSE);
  }
  *ret_files = gem_runtime_open_files(&self->config, NULL, &error);
  g_assert_no_error(error);
  runtime = gem_runtime_open(&self->config, *ret_files, &error);
  g_assert_no_error(error);
  return runtime;
}

/* ---- answers ---- */

GemTestAnswer *
gem_test_answer_new(gboolean routes)
{
  GemTestAnswer *answer = g_new0(GemTestAnswer, 1);

  answer->text = g_string_new(NULL);
  if (routes) {
    answer->routed = g_ptr_array_new_with_free_func((GDestroyNotify)gem_routed_token_free);
  }
  return answer;
}

void
gem_test_answer_free(GemTestAnswer *answer)
{
  g_string_free(answer->text, TRUE);
  g_clear_pointer(&answer->routed, g_ptr_array_unref);
  g_clear_pointer(&answer->tokens_by_pathway, g_hash_table_unref);
  g_clear_pointer(&answer->public_tokens_by_pathway, g_hash_table_unref);
  g_clear_error(&answer->error);
  g_clear_object(&answer->generation);
  g_free(answer);
}

/* Events are counted when they come: the engine posts them in its own order, however late they are heard. */
static guint
next_place(void)
{
  static guint places;

  return ++places;
}

static void
take_text(const char *text, gsize length, gpointer data)
{
  GemTestAnswer *answer = data;

  g_assert_false(answer->finished);
  g_assert_cmpuint(length, >, 0);
  g_assert_true(g_utf8_validate(text, (gssize)length, NULL));
  g_string_append_len(answer->text, text, (gssize)length);
  if (answer->text_events++ == 0) {
    answer->began = next_place();
  }
  if (answer->text_events == answer->cancel_after) {
    gem_generation_cancel(answer->generation);
  }
}

static void
take_route(const GemRoutedToken *token, gpointer data)
{
  GemTestAnswer *answer = data;
  GemRoutedToken *copy = g_new0(GemRoutedToken, 1);

  *copy = *token;
  copy->piece = g_strdup(token->piece);
  copy->pathway = g_intern_string(token->pathway);
  copy->classes = NULL;
  copy->probabilities = NULL;
  copy->learned = NULL;
  g_ptr_array_add(answer->routed, copy);
}

static void
take_finish(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  GemTestAnswer *answer = data;

  g_assert_false(answer->finished);
  answer->finished = TRUE;
  answer->ended = next_place();
  answer->reason = stats->reason;
  answer->prompt_tokens = stats->prompt_tokens;
  answer->generated_tokens = stats->generated_tokens;
  answer->slides = stats->slides;
  answer->degraded_tokens = stats->degraded_tokens;
  answer->cache_bytes = stats->cache_bytes;
  answer->tokens_by_pathway = g_hash_table_ref(stats->tokens_by_pathway);
  answer->public_tokens_by_pathway = g_hash_table_ref(stats->public_tokens_by_pathway);
  answer->error = error != NULL ? g_error_copy(error) : NULL;
  g_assert_cmpfloat(stats->prefill_seconds, >=, 0);
  g_assert_cmpfloat(stats->decode_seconds, >=, 0);
}

static void
take_destroy(gpointer data)
{
  GemTestAnswer *answer = data;

  g_assert_true(answer->finished);
  answer->destroyed = TRUE;
}

static GemTestAnswer *
generate(GemSequence *sequence, const char *prompt, const GemGenerateOptions *options, gboolean routes)
{
  GemTestAnswer *answer = gem_test_answer_new(routes);
  GemGenerationEvents events = {
      .text = take_text, .routed = routes ? take_route : NULL, .finished = take_finish};
  g_autoptr(GError) error = NULL;

  answer->generation =
      gem_sequence_generate(sequence, prompt, options, &events, answer, take_destroy, &error);
  g_assert_no_error(error);
  return answer;
}

GemTestAnswer *
gem_test_generate(GemSequence *sequence, const char *prompt, const GemGenerateOptions *options)
{
  return generate(sequence, prompt, options, FALSE);
}

GemTestAnswer *
gem_test_generate_routed(GemSequence *sequence, const char *prompt, const GemGenerateOptions *options)
{
  return generate(sequence, prompt, options, TRUE);
}

void
gem_test_answer_wait(GemTestAnswer *answer)
{
  while (!answer->destroyed) {
    g_main_context_iteration(NULL, TRUE);
  }
}

struct GemTestHold {
  GMutex mutex; /* locked for as long as the engine waits */
};

/* On the engine thread. */
static void
wait_for_release(GemEngine *engine, gpointer data)
{
  GemTestHold *hold = data;

  g_mutex_lock(&hold->mutex);
  g_mutex_unlock(&hold->mutex);
  g_mutex_clear(&hold->mutex);
  g_free(hold);
}

GemTestHold *
gem_test_engine_hold(GemEngine *engine)
{
  GemTestHold *hold = g_new0(GemTestHold, 1);

  g_mutex_init(&hold->mutex);
  g_mutex_lock(&hold->mutex);
  gem_engine_push(engine, wait_for_release, hold);
  return hold;
}

void
gem_test_engine_let_go(GemTestHold *hold)
{
  g_mutex_unlock(&hold->mutex);
}

gboolean
gem_test_count_tokens(GemEngine *engine, const char *text, guint64 *ret_tokens, GError **error)
{
  static const GemPromptSpec spec = {.form = GEM_PROMPT_COUNT};
  g_autoptr(GemPrompt) prompt = gem_prompt_new(engine, text, &spec, error);

  if (prompt != NULL) {
    *ret_tokens = gem_prompt_count_tokens(prompt);
  }
  return prompt != NULL;
}

char *
gem_test_greedy(GemEngine *engine, const char *prompt, guint tokens, const char *domain)
{
  g_auto(GemGenerateOptions) options = {.max_tokens = tokens, .run = {.domain = g_strdup(domain)}};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, NULL, &error);
  g_autoptr(GemTestAnswer) answer = NULL;

  g_assert_no_error(error);
  answer = gem_test_generate(sequence, prompt, &options);
  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
  return g_strdup(answer->text->str);
}

void
gem_test_keep_result(GObject *source, GAsyncResult *result, gpointer slot)
{
  *(GAsyncResult **)slot = g_object_ref(result);
}

GAsyncResult *
gem_test_wait_result(GAsyncResult **slot)
{
  while (*slot == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  return g_steal_pointer(slot);
}

static gboolean
stop_waiting(gpointer flag)
{
  *(gboolean *)flag = TRUE;
  return G_SOURCE_REMOVE;
}

void
gem_test_run_main_loop(guint milliseconds)
{
  gboolean over = FALSE;

  g_timeout_add(milliseconds, stop_waiting, &over);
  while (!over) {
    g_main_context_iteration(NULL, TRUE);
  }
}
