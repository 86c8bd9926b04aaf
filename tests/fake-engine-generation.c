/* The fake engine's conversations: what a generation writes follows from its prompt (see fake-engine.h). */
#include <string.h>

#include "tests/fake-engine.h"

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
  gboolean paused, cancelled, ended, degrade;
  gint64 deadline;
  guint step; /* source */
};

G_DEFINE_TYPE(GemSequence, gem_sequence, G_TYPE_OBJECT)
G_DEFINE_TYPE(GemGeneration, gem_generation, G_TYPE_OBJECT)

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
      .public_tokens_by_pathway = pathways,
      .degraded_tokens = self->degrade ? self->prompt_tokens : 0,
      .cache_bytes = (guint64)GEM_FAKE_CACHE_BYTES * self->sequence->tokens,
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

  if (g_str_equal(self->prompt, "starve") && self->deadline > 0 && g_get_monotonic_time() >= self->deadline) {
    error = gem_fake_starved_new();
    self->step = 0;
    generation_end(self, GEM_FINISH_FAILED, error);
    return G_SOURCE_REMOVE;
  }
  if (self->cancelled || self->generated >= self->max_tokens) {
    self->step = 0;
    generation_end(self, self->cancelled ? GEM_FINISH_CANCELLED : GEM_FINISH_LIMIT, NULL);
    return G_SOURCE_REMOVE;
  }
  if (self->paused || g_str_equal(self->prompt, "starve") || g_str_equal(self->prompt, "silent") ||
      g_str_equal(self->prompt, "stubborn")) {
    return G_SOURCE_CONTINUE;
  }
  generation_write_token(self);
  if (g_str_equal(self->prompt, "fail") || g_str_equal(self->sequence->engine->name, "mute")) {
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
    GemRoutedToken *token = gem_fake_route_new(self->prompt, i);

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
  guint needed =
      options->run.prompt != NULL ? gem_prompt_count_tokens(options->run.prompt) : (guint)strlen(prompt);
  GemTurnNeed need;

  if (self->engine->stopped) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the engine has stopped");
    return NULL;
  }
  if (self->busy) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_BUSY, "busy");
    return NULL;
  }
  if (self->tokens + needed >= GEM_FAKE_CONTEXT) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED, "%u tokens are needed, %u are there", needed,
                GEM_FAKE_CONTEXT - self->tokens);
    return NULL;
  }
  need.prompt_tokens = needed;
  need.max_tokens = options->max_tokens > 0 ? options->max_tokens : 256;
  need.cache_bytes = (guint64)GEM_FAKE_CACHE_BYTES * (self->tokens + needed + need.max_tokens);
  if (events->admit != NULL && !events->admit(&need, data, error)) {
    return NULL;
  }
  generation = g_object_new(GEM_TYPE_GENERATION, NULL);
  generation->sequence = g_object_ref(self);
  generation->events = *events;
  generation->data = data;
  generation->destroy = destroy;
  generation->prompt = g_strdup(prompt);
  generation->prompt_tokens = needed;
  generation->degrade =
      (options->run.page_in != GEM_PAGE_IN_DEFAULT ? options->run.page_in : self->engine->page_in) ==
      GEM_PAGE_IN_DEGRADE;
  generation->max_tokens = need.max_tokens;
  generation->deadline = options->run.deadline;
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
gem_fake_generation_shut_down(GemGeneration *self)
{
  g_idle_add(on_shutdown, g_object_ref(self));
}
