/* The fake engine's one-shot work, on the main loop: what an answer is follows from the text. */
#include <string.h>

#include "tests/fake-engine.h"

/* ---- texts as tokens ---- */

struct _GemPrompt {
  guint tokens;
};

/* "hold PATH TEXT" */
static char *
find_held(const char *text)
{
  g_auto(GStrv) words = g_strsplit(text, " ", 3);

  return g_strv_length(words) == 3 && g_str_equal(words[0], "hold") ? g_strdup(words[1]) : NULL;
}

GemPrompt *
gem_prompt_new(GemEngine *engine, const char *text, const GemPromptSpec *spec, GError **error)
{
  g_autofree char *held = find_held(text);
  GemPrompt *self = g_atomic_rc_box_new(GemPrompt);

  while (held != NULL && g_file_test(held, G_FILE_TEST_EXISTS)) {
    g_usleep(1000);
  }
  self->tokens = (guint)strlen(text);
  return self;
}

GemPrompt *
gem_prompt_ref(GemPrompt *self)
{
  return g_atomic_rc_box_acquire(self);
}

void
gem_prompt_unref(GemPrompt *self)
{
  g_atomic_rc_box_release(self);
}

guint
gem_prompt_count_tokens(const GemPrompt *self)
{
  return self->tokens;
}

/* ---- calls ---- */

void
gem_run_options_clear(GemRunOptions *options)
{
  g_clear_pointer(&options->domain, g_free);
}

void
gem_routed_token_free(GemRoutedToken *token)
{
  g_free(token->piece);
  g_free(token->probabilities);
  g_free(token);
}

static const char *const classes[] = {"legal", "stem", "broken", NULL};

GemRoutedToken *
gem_fake_route_new(const char *text, gsize offset)
{
  GemRoutedToken *token = g_new0(GemRoutedToken, 1);

  token->piece = (guchar)text[offset] < 128 ? g_strndup(text + offset, 1) : g_strdup("<0xFF>");
  token->offset = offset;
  token->length = 1;
  token->pathway = text[offset] == 'l' ? "legal" : "general";
  token->classes = classes;
  token->probabilities = g_new0(double, 3);
  token->probabilities[0] = text[offset] == 'l' ? 1 : 0.25;
  return token;
}

static gboolean
return_later(gpointer data)
{
  GTask *task = data;

  if (!g_task_return_error_if_cancelled(task)) {
    g_task_return_boolean(task, TRUE);
  }
  g_object_unref(task);
  return G_SOURCE_REMOVE;
}

static gboolean
return_starved(gpointer data)
{
  g_autoptr(GTask) task = data;

  g_task_return_error(task, gem_fake_starved_new());
  return G_SOURCE_REMOVE;
}

GError *
gem_fake_starved_new(void)
{
  return g_error_new_literal(GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED, "MemoryLimit: others have it all");
}

/* Texts longer than the context fail; "slow" takes 200 ms; "starve" waits for memory until its deadline. */
static void
one_shot(GemEngine *self,
         const char *text,
         const GemRunOptions *options,
         GCancellable *cancellable,
         GAsyncReadyCallback callback,
         gpointer data)
{
  GTask *task = g_task_new(self, cancellable, callback, data);

  g_task_set_task_data(task, g_strdup(text), g_free);
  if (self->stopped) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the engine has stopped");
    g_object_unref(task);
  } else if (strlen(text) > GEM_FAKE_CONTEXT) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED,
                            "%" G_GSIZE_FORMAT " tokens are needed, %u are there", strlen(text),
                            GEM_FAKE_CONTEXT);
    g_object_unref(task);
  } else if (g_str_equal(text, "starve")) {
    gint64 left = (options->deadline - g_get_monotonic_time()) / 1000;

    g_timeout_add(options->deadline > 0 ? (guint)MAX(left, 1) : G_MAXINT, return_starved, task);
  } else {
    g_timeout_add(g_str_has_prefix(text, "slow") ? 200 : 0, return_later, task);
  }
}

void
gem_engine_route_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  /* No context limit for the longest text: more tokens than an answer has rows. */
  if (strlen(text) == 256 * 1024) {
    g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

    g_task_set_task_data(task, g_strdup(text), g_free);
    g_task_return_boolean(task, TRUE);
    return;
  }
  one_shot(self, text, options, cancellable, callback, data);
}

GPtrArray *
gem_engine_route_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  const char *text = g_task_get_task_data(G_TASK(result));
  GPtrArray *tokens;

  if (!g_task_propagate_boolean(G_TASK(result), error)) {
    return NULL;
  }
  tokens = g_ptr_array_new_with_free_func((GDestroyNotify)gem_routed_token_free);
  for (gsize i = 0; text[i] != '\0'; i++) {
    g_ptr_array_add(tokens, gem_fake_route_new(text, i));
  }
  return tokens;
}

void
gem_engine_classify_async(GemEngine *self,
                          const char *text,
                          const char *const *labels,
                          const GemRunOptions *options,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  g_autofree char *joined = g_strjoinv("\n", (char **)labels);

  one_shot(self, g_str_equal(text, "starve") ? text : joined, options, cancellable, callback, data);
}

/* The longer a label, the likelier. */
GArray *
gem_engine_classify_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_auto(GStrv) labels = g_strsplit(g_task_get_task_data(G_TASK(result)), "\n", -1);
  double total = 0;
  GArray *scores;

  if (!g_task_propagate_boolean(G_TASK(result), error)) {
    return NULL;
  }
  scores = g_array_new(FALSE, TRUE, sizeof(double));
  for (gsize i = 0; labels[i] != NULL; i++) {
    total += (double)strlen(labels[i]);
  }
  for (gsize i = 0; labels[i] != NULL; i++) {
    double score = (double)strlen(labels[i]) / total;

    g_array_append_val(scores, score);
  }
  return scores;
}

void
gem_engine_embed_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  one_shot(self, text, options, cancellable, callback, data);
}

GArray *
gem_engine_embed_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  const double values[] = {0.6, 0.8};

  if (!g_task_propagate_boolean(G_TASK(result), error)) {
    return NULL;
  }
  return g_array_append_vals(g_array_new(FALSE, FALSE, sizeof(double)), values, 2);
}

void
gem_engine_score_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  one_shot(self, text, options, cancellable, callback, data);
}

gboolean
gem_engine_score_finish(
    GemEngine *self, GAsyncResult *result, double *ret_log_likelihood, guint64 *ret_tokens, GError **error)
{
  const char *text = g_task_get_task_data(G_TASK(result));

  if (!g_task_propagate_boolean(G_TASK(result), error)) {
    return FALSE;
  }
  *ret_tokens = strlen(text);
  *ret_log_likelihood = -2.0 * (double)strlen(text);
  return TRUE;
}
