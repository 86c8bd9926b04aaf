/*
 * Tokens to text, as spm_decode does it.
 */
#include "format/gem-tokenizer-private.h"

#include <string.h>

#define REPLACEMENT_CHARACTER "\xef\xbf\xbd" /* U+FFFD */

/* Appends bytes that byte tokens gave: characters where they make some, U+FFFD for each byte that belongs to
 * none. A NUL, which no C string can hold, is such a byte. */
static void
append_bytes(GString *text, const GByteArray *bytes)
{
  const char *p = (const char *)bytes->data;
  gsize left = bytes->len;

  while (left > 0) {
    const gunichar character = *p ? g_utf8_get_char_validated(p, (gssize)left) : (gunichar)-1;
    const gboolean is_valid = character < 0x110000;
    const gsize n = is_valid ? (gsize)(g_utf8_next_char(p) - p) : 1;

    if (is_valid) {
      g_string_append_len(text, p, (gssize)n);
    } else {
      g_string_append(text, REPLACEMENT_CHARACTER);
    }
    p += n;
    left -= n;
  }
}

char *
gem_tokenizer_decode(GemTokenizer *self, const guint32 *tokens, gsize n)
{
  g_autoptr(GString) text = g_string_new(NULL);
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  /* The space that encoding put before the text goes again: once, and only where nothing stands before it. */
  gboolean strip_space = self->add_dummy_prefix;

  for (gsize i = 0; i < n; i++) {
    const GemToken *token;

    g_return_val_if_fail(tokens[i] < self->tokens->len, NULL);

    token = gem_tokenizer_token(self, tokens[i]);
    if (token->type == GEM_PIECE_BYTE) {
      g_byte_array_append(bytes, (const guint8 *)token->bytes, 1);
      continue;
    }
    append_bytes(text, bytes);
    g_byte_array_set_size(bytes, 0);

    strip_space = strip_space && text->len == 0;
    if (strip_space && token->type != GEM_PIECE_CONTROL && token->type != GEM_PIECE_UNKNOWN &&
        g_str_has_prefix(token->piece, GEM_TOKENIZER_SPACE)) {
      g_string_append_len(text, token->bytes + 1, token->n_bytes - 1);
      strip_space = FALSE;
    } else {
      g_string_append_len(text, token->bytes, token->n_bytes);
    }
  }
  append_bytes(text, bytes);
  return g_string_free(g_steal_pointer(&text), FALSE);
}
