/* A prompt's tokens, made ahead of its turn. */
#include "daemon/engine/gem-prompt.h"

struct _GemPrompt {
  GArray *tokens; /* guint32 */
};

GArray *
gem_engine_encode_prompt(GemEngine *self, const char *text, gboolean raw, GError **error)
{
  const char *ask_template = raw ? NULL : self->runtime->shape->ask_template;

  return gem_engine_check_length(self, "the prompt", text, error)
             ? gem_engine_encode(self, ask_template, text, error)
             : NULL;
}

GemPrompt *
gem_prompt_new(GemEngine *engine, const char *text, gboolean raw, GError **error)
{
  GArray *tokens = gem_engine_encode_prompt(engine, text, raw, error);
  GemPrompt *self;

  if (tokens == NULL) {
    return NULL;
  }
  self = g_new(GemPrompt, 1);
  self->tokens = tokens;
  return self;
}

void
gem_prompt_free(GemPrompt *self)
{
  gem_wipe_array(self->tokens);
  g_free(self);
}

GArray *
gem_prompt_copy_tokens(const GemPrompt *self)
{
  return g_array_copy(self->tokens);
}
