#include "training/text/gem-ask-frame.h"

#include <string.h>

gboolean
gem_ask_frame_init(GemAskFrame *self, GemTokenizer *tokenizer, const char *ask_template, GError **error)
{
  const char *marker = strstr(ask_template, "{text}");
  g_autofree char *head = g_strndup(ask_template, (gsize)(marker - ask_template) + strlen("{text}"));
  self->head = g_array_new(FALSE, FALSE, sizeof(guint32));
  self->tail = g_array_new(FALSE, FALSE, sizeof(guint32));
  return gem_tokenizer_encode_template(tokenizer, head, "", self->head, error) &&
         gem_tokenizer_encode_template(tokenizer, marker, "", self->tail, error);
}

void
gem_ask_frame_clear(GemAskFrame *self)
{
  g_clear_pointer(&self->head, g_array_unref);
  g_clear_pointer(&self->tail, g_array_unref);
}

void
gem_ask_frame_append(const GemAskFrame *self, const guint32 *tokens, guint n, GArray *to)
{
  g_array_append_vals(to, self->head->data, self->head->len);
  g_array_append_vals(to, tokens, n);
  g_array_append_vals(to, self->tail->data, self->tail->len);
}

guint
gem_ask_frame_drop(const GemAskFrame *self, GArray *line, guint answer, double share, GemRandom *random)
{
  guint32 *tokens = (guint32 *)(gpointer)line->data;
  guint kept = MIN(self->head->len, answer);
  guint end = MAX(kept, answer - MIN(self->tail->len, answer));
  for (guint i = kept; i < end; i++) {
    tokens[kept] = tokens[i];
    kept += gem_random_uniform(random) >= share ? 1 : 0;
  }
  g_array_remove_range(line, kept, end - kept);
  return end - kept;
}
