/* A conversation, as the main loop holds it; its state belongs to the engine thread. */
#include "daemon/engine/gem-engine-private.h"

G_DEFINE_TYPE(GemSequence, gem_sequence, G_TYPE_OBJECT)

static void
keep_state(GemEngine *engine, gpointer state)
{
  g_ptr_array_add(engine->runtime->conversations, state);
}

static void
release_state(GemEngine *engine, gpointer state)
{
  g_ptr_array_remove_fast(engine->runtime->conversations, state);
  gem_sequence_state_free(engine->runtime, state);
}

GemSequence *
gem_engine_new_sequence(GemEngine *self, const GemRunOptions *options, GError **error)
{
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemLearnedView) learned = NULL;
  GemRouting routing;
  guint cluster_set;

  if (!gem_engine_check_running(self, error) ||
      !gem_run_options_resolve(self, options, &routing, &cluster_set, error)) {
    return NULL;
  }
  learned = routing.learned; /* each turn takes its own */
  if (self->n_sequences >= self->max_sequences) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED, "max_sequences: there are %u already",
                self->n_sequences);
    return NULL;
  }
  sequence = g_object_new(GEM_TYPE_SEQUENCE, NULL);
  sequence->engine = g_object_ref(self);
  sequence->state = gem_sequence_state_new(self->runtime, cluster_set);
  if (options != NULL) {
    sequence->domain = g_strdup(options->domain);
    sequence->owner = options->owner;
    sequence->priority = options->priority;
    sequence->page_in = options->page_in;
  }
  self->n_sequences++;
  gem_engine_push(self, keep_state, sequence->state);
  return g_steal_pointer(&sequence);
}

guint
gem_sequence_get_tokens(GemSequence *self)
{
  return self->tokens;
}

static void
gem_sequence_finalize(GObject *object)
{
  GemSequence *self = GEM_SEQUENCE(object);

  if (self->engine != NULL) {
    /* A stopped engine has freed the state already. */
    if (gem_engine_check_running(self->engine, NULL)) {
      gem_engine_push(self->engine, release_state, self->state);
    }
    self->engine->n_sequences--;
    g_object_unref(self->engine);
  }
  g_free(self->domain);
  G_OBJECT_CLASS(gem_sequence_parent_class)->finalize(object);
}

static void
gem_sequence_class_init(GemSequenceClass *class)
{
  G_OBJECT_CLASS(class)->finalize = gem_sequence_finalize;
}

static void
gem_sequence_init(GemSequence *self)
{
}
