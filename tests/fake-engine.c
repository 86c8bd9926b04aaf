/*
 * An engine without a model, for the tests of the bus: its answers follow from the prompt, its errors and its
 * slowness are asked for in it. A token is a byte. It runs on the main loop alone.
 *
 * Model paths: /fake/ok; /fake/slow loads for half a second; any other fails.
 * Prompts of a generation: "flood" writes 4 KiB a token; "fail" fails after one token; "silent" writes
 * nothing until it is cancelled; "stubborn" neither, and takes 300 ms to notice; "slow" takes 20 ms a token;
 * anything else is echoed, token by token, again and again.
 */
#include <string.h>

#include "daemon/engine/gem-engine.h"

#define CONTEXT 4096u

struct _GemEngine {
  GObject parent_instance;
  gboolean stopped;
  guint sequences, max_sequences;
  gboolean paged_in[4]; /* by pathway */
  GPtrArray *running;   /* of GemGeneration, borrowed */
};

struct _GemSequence {
  GObject parent_instance;
  GemEngine *engine;
  guint tokens;
  gboolean busy;
};

struct _GemGeneration {
  GObject parent_instance;
  GemSequence *sequence;
  GemGenerationEvents events;
  gpointer data;
  GDestroyNotify destroy;
  char *prompt;
  guint max_tokens;
  guint prompt_tokens, generated;
  gboolean paused, cancelled, ended;
  guint step; /* source */
};

G_DEFINE_TYPE(GemEngine, gem_engine, G_TYPE_OBJECT)
G_DEFINE_TYPE(GemSequence, gem_sequence, G_TYPE_OBJECT)
G_DEFINE_TYPE(GemGeneration, gem_generation, G_TYPE_OBJECT)

static const char *const domains[] = {"legal", "stem", "broken", NULL};
static const char *const pathway_names[] = {"general", "legal", "stem", "broken", NULL};

/* ---- engine ---- */

static void
gem_engine_finalize(GObject *object)
{
  g_ptr_array_unref(GEM_ENGINE(object)->running);
  G_OBJECT_CLASS(gem_engine_parent_class)->finalize(object);
}

static void
gem_engine_class_init(GemEngineClass *klass)
{
  G_OBJECT_CLASS(klass)->finalize = gem_engine_finalize;
}

static void
gem_engine_init(GemEngine *self)
{
  self->running = g_ptr_array_new();
  for (guint i = 0; i < 3; i++) {
    self->paged_in[i] = TRUE;
  }
}

GemEngine *
gem_engine_new(const GemEngineConfig *config, GError **error)
{
  GemEngine *self;

  if (g_str_equal(config->model_path, "/fake/slow")) {
    g_usleep(G_USEC_PER_SEC / 2);
  } else if (!g_str_equal(config->model_path, "/fake/ok")) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s: general.gguf is missing", config->model_path);
    return NULL;
  }
  self = g_object_new(GEM_TYPE_ENGINE, NULL);
  self->max_sequences = config->max_sequences;
  return self;
}

const char *
gem_engine_get_model_name(GemEngine *self)
{
  return "fake";
}

guint
gem_engine_get_context(GemEngine *self)
{
  return CONTEXT;
}

const char *const *
gem_engine_get_domains(GemEngine *self)
{
  return domains;
}

const char *
gem_engine_get_attention(GemEngine *self)
{
  return "scar";
}

double
gem_engine_get_threshold(GemEngine *self)
{
  return 0.7;
}

guint64
gem_engine_get_resident_bytes(GemEngine *self)
{
  return 1000;
}

gint64
gem_engine_get_last_beat(GemEngine *self)
{
  return g_get_monotonic_time();
}

void
gem_backend_info_free(GemBackendInfo *info)
{
  g_free(info->name);
  g_free(info->version);
  g_free(info->device);
  g_free(info->kernels);
  g_free(info->reason);
  g_free(info);
}

GPtrArray *
gem_engine_list_backends(GemEngine *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)gem_backend_info_free);
  GemBackendInfo *info = g_new0(GemBackendInfo, 1);

  info->name = g_strdup("cpu");
  info->version = g_strdup("1.0");
  info->device = g_strdup("none");
  info->kernels = g_strdup("fake");
  info->score = 10;
  info->in_use = TRUE;
  g_ptr_array_add(list, info);
  return list;
}

/* ---- pathways ---- */

static int
pathway_index(const char *domain)
{
  for (int i = 0; pathway_names[i] != NULL; i++) {
    if (g_str_equal(pathway_names[i], domain)) {
      return i;
    }
  }
  return -1;
}

void
gem_pathway_info_free(GemPathwayInfo *info)
{
  g_free(info->domain);
  g_free(info->reason);
  g_free(info);
}

GemPathwayInfo *
gem_engine_get_pathway(GemEngine *self, const char *domain)
{
  int index = pathway_index(domain);
  GemPathwayInfo *info;

  if (index < 0) {
    return NULL;
  }
  info = g_new0(GemPathwayInfo, 1);
  info->domain = g_strdup(domain);
  info->state = self->paged_in[index] ? GEM_PATHWAY_RESIDENT : GEM_PATHWAY_ABSENT;
  info->reason = index == 3 ? g_strdup("pathway-broken.gguf is missing") : NULL;
  info->bits = index == 0 ? 8 : 4;
  info->file_bytes = 4096;
  info->resident_bytes = self->paged_in[index] ? 5000 : 0;
  return info;
}

static void
page_async(GemEngine *self, const char *domain, gboolean in, GAsyncReadyCallback callback, gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, NULL, callback, data);
  int index = pathway_index(domain);

  if (index == 0 && !in) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_PATHWAY, "general cannot be paged out");
  } else if (index == 3) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_PATHWAY, "pathway-broken.gguf is missing");
  } else {
    self->paged_in[index] = in;
    g_task_return_boolean(task, TRUE);
  }
}

void
gem_engine_page_in_async(GemEngine *self,
                         const char *domain,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer data)
{
  page_async(self, domain, TRUE, callback, data);
}

void
gem_engine_page_out_async(GemEngine *self,
                          const char *domain,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  page_async(self, domain, FALSE, callback, data);
}

gboolean
gem_engine_page_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- one-shot work ---- */

gboolean
gem_engine_count_tokens(GemEngine *self, const char *text, guint64 *ret_tokens, GError **error)
{
  *ret_tokens = strlen(text);
  return TRUE;
}

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

static GemRoutedToken *
route_of(const char *text, gsize offset)
{
  GemRoutedToken *token = g_new0(GemRoutedToken, 1);

  token->piece = (guchar)text[offset] < 128 ? g_strndup(text + offset, 1) : g_strdup("<0xFF>");
  token->offset = offset;
  token->length = 1;
  token->pathway = text[offset] == 'l' ? "legal" : "general";
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

/* Texts longer than the context fail; "slow" takes 200 ms. */
static void
one_shot(
    GemEngine *self, const char *text, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
  GTask *task = g_task_new(self, cancellable, callback, data);

  g_task_set_task_data(task, g_strdup(text), g_free);
  if (self->stopped) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the engine has stopped");
    g_object_unref(task);
  } else if (strlen(text) > CONTEXT) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED,
                            "%" G_GSIZE_FORMAT " tokens are needed, %u are there", strlen(text), CONTEXT);
    g_object_unref(task);
  } else {
    g_timeout_add(g_str_has_prefix(text, "slow") ? 200 : 0, return_later, task);
  }
}

void
gem_engine_route_async(
    GemEngine *self, const char *text, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
  /* No context limit for the longest text: more tokens than an answer has rows. */
  if (strlen(text) == 256 * 1024) {
    g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

    g_task_set_task_data(task, g_strdup(text), g_free);
    g_task_return_boolean(task, TRUE);
    return;
  }
  one_shot(self, text, cancellable, callback, data);
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
    g_ptr_array_add(tokens, route_of(text, i));
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

  one_shot(self, joined, cancellable, callback, data);
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
  one_shot(self, text, cancellable, callback, data);
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
  one_shot(self, text, cancellable, callback, data);
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

/* ---- conversations ---- */

static void
gem_sequence_finalize(GObject *object)
{
  GemSequence *self = GEM_SEQUENCE(object);

  self->engine->sequences--;
  g_object_unref(self->engine);
  G_OBJECT_CLASS(gem_sequence_parent_class)->finalize(object);
}

static void
gem_sequence_class_init(GemSequenceClass *klass)
{
  G_OBJECT_CLASS(klass)->finalize = gem_sequence_finalize;
}

static void
gem_sequence_init(GemSequence *self)
{
}

GemSequence *
gem_engine_new_sequence(GemEngine *self, const GemRunOptions *options, GError **error)
{
  GemSequence *sequence;

  if (self->sequences >= self->max_sequences) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED, "%u sequences", self->sequences);
    return NULL;
  }
  sequence = g_object_new(GEM_TYPE_SEQUENCE, NULL);
  sequence->engine = g_object_ref(self);
  self->sequences++;
  return sequence;
}

guint
gem_sequence_get_tokens(GemSequence *self)
{
  return self->tokens;
}

void
gem_generate_options_clear(GemGenerateOptions *options)
{
  gem_run_options_clear(&options->run);
  g_clear_pointer(&options->stop, g_strfreev);
}

static void
gem_generation_finalize(GObject *object)
{
  GemGeneration *self = GEM_GENERATION(object);

  g_clear_handle_id(&self->step, g_source_remove);
  g_object_unref(self->sequence);
  g_free(self->prompt);
  G_OBJECT_CLASS(gem_generation_parent_class)->finalize(object);
}

static void
gem_generation_class_init(GemGenerationClass *klass)
{
  G_OBJECT_CLASS(klass)->finalize = gem_generation_finalize;
}

static void
gem_generation_init(GemGeneration *self)
{
}

static void
generation_end(GemGeneration *self, GemFinishReason reason, const GError *error)
{
  g_autoptr(GHashTable) pathways = g_hash_table_new(g_str_hash, g_str_equal);
  GemGenerateStats stats = {
      .reason = reason,
      .prompt_tokens = self->prompt_tokens,
      .generated_tokens = self->generated,
      .decode_seconds = 0.5,
      .tokens_by_pathway = pathways,
      .cache_bytes = 77,
  };

  g_hash_table_insert(pathways, (gpointer) "general",
                      GUINT_TO_POINTER(self->prompt_tokens + self->generated));
  self->ended = TRUE;
  self->sequence->busy = FALSE;
  g_ptr_array_remove(self->sequence->engine->running, self);
  self->events.finished(&stats, error, self->data);
  if (self->destroy != NULL) {
    self->destroy(self->data);
  }
  g_object_unref(self);
}

static void
generation_write_token(GemGeneration *self)
{
  char flood[4096];

  memset(flood, 'f', sizeof flood);
  self->generated++;
  self->sequence->tokens++;
  if (g_str_equal(self->prompt, "flood")) {
    self->events.text(flood, sizeof flood, self->data);
  } else {
    self->events.text(self->prompt, strlen(self->prompt), self->data);
  }
}

static gboolean
on_step(gpointer data)
{
  GemGeneration *self = data;
  g_autoptr(GError) error = NULL;

  if (self->cancelled || self->generated >= self->max_tokens) {
    self->step = 0;
    generation_end(self, self->cancelled ? GEM_FINISH_CANCELLED : GEM_FINISH_LIMIT, NULL);
    return G_SOURCE_REMOVE;
  }
  if (self->paused || g_str_equal(self->prompt, "silent") || g_str_equal(self->prompt, "stubborn")) {
    return G_SOURCE_CONTINUE;
  }
  generation_write_token(self);
  if (g_str_equal(self->prompt, "fail")) {
    error = g_error_new_literal(GEM_ERROR, GEM_ERROR_FAILED, "asked to fail");
    self->step = 0;
    generation_end(self, GEM_FINISH_FAILED, error);
    return G_SOURCE_REMOVE;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_first_step(gpointer data)
{
  GemGeneration *self = data;
  guint interval = 1; /* ms */

  if (g_str_equal(self->prompt, "slow") || g_str_equal(self->prompt, "silent")) {
    interval = 20;
  } else if (g_str_equal(self->prompt, "stubborn")) {
    interval = 300;
  }

  for (guint i = 0; self->events.routed != NULL && i < self->prompt_tokens; i++) {
    GemRoutedToken *token = route_of(self->prompt, i);

    self->events.routed(token, self->data);
    gem_routed_token_free(token);
  }
  self->step = g_timeout_add(interval, on_step, self);
  return G_SOURCE_REMOVE;
}

GemGeneration *
gem_sequence_generate(GemSequence *self,
                      const char *prompt,
                      const GemGenerateOptions *options,
                      const GemGenerationEvents *events,
                      gpointer data,
                      GDestroyNotify destroy,
                      GError **error)
{
  GemGeneration *generation;
  guint needed = (guint)strlen(prompt);

  if (self->engine->stopped) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the engine has stopped");
    return NULL;
  }
  if (self->busy) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_BUSY, "busy");
    return NULL;
  }
  if (self->tokens + needed >= CONTEXT) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED, "%u tokens are needed, %u are there", needed,
                CONTEXT - self->tokens);
    return NULL;
  }
  generation = g_object_new(GEM_TYPE_GENERATION, NULL);
  generation->sequence = g_object_ref(self);
  generation->events = *events;
  generation->data = data;
  generation->destroy = destroy;
  generation->prompt = g_strdup(prompt);
  generation->prompt_tokens = needed;
  generation->max_tokens = options->max_tokens > 0 ? options->max_tokens : 256;
  generation->step = g_timeout_add(1, on_first_step, generation);
  self->tokens += needed;
  self->busy = TRUE;
  g_ptr_array_add(self->engine->running, generation);
  return g_object_ref(generation);
}

void
gem_generation_cancel(GemGeneration *self)
{
  self->cancelled = TRUE;
}

void
gem_generation_set_paused(GemGeneration *self, gboolean paused)
{
  self->paused = paused;
}

static gboolean
on_shutdown(gpointer data)
{
  GemGeneration *self = data;

  if (!self->ended) {
    g_clear_handle_id(&self->step, g_source_remove);
    generation_end(self, GEM_FINISH_SHUTDOWN, NULL);
  }
  g_object_unref(self);
  return G_SOURCE_REMOVE;
}

void
gem_engine_stop(GemEngine *self)
{
  if (self->stopped) {
    return;
  }
  self->stopped = TRUE;
  for (guint i = 0; i < self->running->len; i++) {
    g_idle_add(on_shutdown, g_object_ref(g_ptr_array_index(self->running, i)));
  }
}
