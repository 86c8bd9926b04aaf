/*
 * Templates: control tokens spelled out around a caller's text.
 */
#include "format/gem-tokenizer-private.h"
#include "format/gem-wipe.h"

#include <string.h>

#define TEXT_FIELD "{text}"

/* The control token whose piece `p` begins with, the longest if there are several; GEM_NONE: none. */
static guint32
find_control_at(GemTokenizer *self, const char *p)
{
  guint32 found = GEM_NONE;
  gsize longest = 0;

  for (guint i = 0; i < self->controls->len; i++) {
    const guint32 id = g_array_index(self->controls, guint32, i);
    const char *piece = gem_tokenizer_token(self, id)->piece;

    if (g_str_has_prefix(p, piece) && strlen(piece) > longest) {
      found = id;
      longest = strlen(piece);
    }
  }
  return found;
}

/* Encodes the text that stands between two control tokens. */
static gboolean
flush_run(GemTokenizer *self, GString *run, GArray *tokens, GError **error)
{
  if (!gem_tokenizer_encode(self, run->str, (gssize)run->len, tokens, NULL, error)) {
    return FALSE;
  }
  g_string_truncate(run, 0);
  return TRUE;
}

static gboolean
check_template(const char *ask_template, GError **error)
{
  const char *field = strstr(ask_template, TEXT_FIELD);

  if (!field || strstr(field + strlen(TEXT_FIELD), TEXT_FIELD)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID,
                "the template holds " TEXT_FIELD " %s; it must hold it once",
                field ? "more than once" : "not at all");
    return FALSE;
  }
  if (!g_utf8_validate(ask_template, -1, NULL)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID, "the template is no valid UTF-8");
    return FALSE;
  }
  return TRUE;
}

/* The template's own text and the caller's are one text where no control token parts them. */
static gboolean
encode_filled(GemTokenizer *self, const char *ask_template, const char *text, GArray *tokens, GError **error)
{
  /* It never grows: no copy is left behind. */
  g_autoptr(GemWipedString) run = g_string_sized_new(strlen(ask_template) + strlen(text));

  for (const char *p = ask_template; *p;) {
    const guint32 control = find_control_at(self, p);

    if (control != GEM_NONE) {
      if (!flush_run(self, run, tokens, error)) {
        return FALSE;
      }
      g_array_append_val(tokens, control);
      p += strlen(gem_tokenizer_token(self, control)->piece);
    } else if (g_str_has_prefix(p, TEXT_FIELD)) {
      g_string_append(run, text);
      p += strlen(TEXT_FIELD);
    } else {
      g_string_append_c(run, *p++);
    }
  }
  return flush_run(self, run, tokens, error);
}

gboolean
gem_tokenizer_encode_template(
    GemTokenizer *self, const char *ask_template, const char *text, GArray *tokens, GError **error)
{
  const guint before = tokens->len;

  /* The text alone first, so that the offset in an error is one in the caller's text. */
  if (!gem_tokenizer_check_text(text, strlen(text), error)) {
    return FALSE;
  }

  if (!ask_template) {
    if (self->add_bos) {
      g_array_append_val(tokens, self->bos);
    }
    return gem_tokenizer_encode(self, text, -1, tokens, NULL, error);
  }
  if (!check_template(ask_template, error)) {
    return FALSE;
  }
  if (!encode_filled(self, ask_template, text, tokens, error)) {
    explicit_bzero(tokens->data + before * sizeof(guint32), (tokens->len - before) * sizeof(guint32));
    g_array_set_size(tokens, before);
    return FALSE;
  }
  return TRUE;
}
