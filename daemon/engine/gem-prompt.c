#include "daemon/engine/gem-prompt.h"

#include <string.h>

#include "daemon/engine/gem-labels.h"

static void
prompt_clear(gpointer data)
{
  GemPrompt *self = data;

  gem_wipe_array(self->tokens);
  g_clear_pointer(&self->places, g_array_unref);
  g_clear_pointer(&self->labels, g_ptr_array_unref);
}

GemPrompt *
gem_prompt_ref(GemPrompt *self)
{
  return g_atomic_rc_box_acquire(self);
}

void
gem_prompt_unref(GemPrompt *self)
{
  g_atomic_rc_box_release_full(self, prompt_clear);
}

guint
gem_prompt_count_tokens(const GemPrompt *self)
{
  return self->tokens->len;
}

/* Finds the text's own tokens inside the prompt's, which may have a template's around them. */
static GArray *
find_places(GemEngine *engine, const GArray *prompt, const char *text)
{
  GArray *places = g_array_sized_new(FALSE, TRUE, sizeof(GemPlace), prompt->len);
  g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(gsize));
  g_autoptr(GemTokenArray) plain = gem_engine_encode_plain(engine, text, offsets, NULL);
  gsize bytes = plain != NULL ? plain->len * sizeof(guint32) : 0;
  guint first = 0;

  g_array_set_size(places, prompt->len);
  if (plain == NULL) {
    return places;
  }
  while (first + plain->len <= prompt->len &&
         memcmp(prompt->data + first * sizeof(guint32), plain->data, bytes) != 0) {
    first++;
  }
  for (guint i = 0; i < plain->len && first + plain->len <= prompt->len; i++) {
    gsize offset = g_array_index(offsets, gsize, i);
    gsize end = i + 1 < plain->len ? g_array_index(offsets, gsize, i + 1) : strlen(text);

    g_array_index(places, GemPlace, first + i) = (GemPlace){.offset = offset, .length = end - offset};
  }
  return places;
}

static GArray *
encode(GemEngine *engine, const char *text, GemPromptForm form, GError **error)
{
  /* Only what is counted may be longer than the context. */
  if (form != GEM_PROMPT_COUNT && !gem_engine_check_length(engine, "the text", text, error)) {
    return NULL;
  }
  if (form == GEM_PROMPT_ASK || form == GEM_PROMPT_RAW) {
    return gem_engine_encode(engine, form == GEM_PROMPT_ASK ? engine->files->shape.ask_template : NULL, text,
                             error);
  }
  return gem_engine_encode_plain(engine, text, NULL, error);
}

GemPrompt *
gem_prompt_new(GemEngine *engine, const char *text, const GemPromptSpec *spec, GError **error)
{
  g_autoptr(GemTokenArray) tokens = NULL;
  g_autoptr(GPtrArray) labels = NULL;
  GemPrompt *self;

  if (spec->labels != NULL && !gem_labels_check(spec->labels, error)) {
    return NULL;
  }
  tokens = encode(engine, text, spec->form, error);
  if (tokens == NULL) {
    return NULL;
  }
  if (spec->labels != NULL) {
    labels = gem_labels_encode(engine, spec->labels, tokens->len, error);
    if (labels == NULL) {
      return NULL;
    }
  }
  self = g_atomic_rc_box_new0(GemPrompt);
  /* No place is wanted of a text that its call will refuse. */
  if (spec->places && tokens->len <= engine->context_tokens) {
    self->places = find_places(engine, tokens, text);
  }
  self->tokens = g_steal_pointer(&tokens);
  self->labels = g_steal_pointer(&labels);
  return self;
}

GemPrompt *
gem_prompt_take(GemEngine *engine,
                const char *text,
                const GemPromptSpec *spec,
                const GemRunOptions *options,
                GError **error)
{
  return options != NULL && options->prompt != NULL ? gem_prompt_ref(options->prompt)
                                                    : gem_prompt_new(engine, text, spec, error);
}
