#include "clients/gem-client/gem-client-escape.h"

#include <string.h>

static gboolean
is_bidi_control(gunichar c)
{
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static gboolean
is_c1(gunichar c)
{
  return c >= 0x80 && c <= 0x9f;
}

static void
append_cell_space(gunichar c, GString *out)
{
  if (c == '\n') {
    g_string_append(out, "\\n");
  } else if (c == '\t') {
    g_string_append(out, "\\t");
  } else {
    g_string_append(out, "\xe2\x96\x81");
  }
}

static void
append_character(GemEscapeMode mode, gunichar c, GString *out)
{
  if (c == '\n' || c == '\t' || c == ' ') {
    if (mode == GEM_ESCAPE_CELL) {
      append_cell_space(c, out);
    } else {
      g_string_append_c(out, (char)c);
    }
  } else if (c < 0x20) {
    g_string_append_printf(out, "^%c", (char)(c + '@'));
  } else if (c == 0x7f) {
    g_string_append(out, "^?");
  } else if (is_c1(c) || is_bidi_control(c)) {
    g_string_append_printf(out, "<U+%04X>", c);
  } else {
    g_string_append_unichar(out, c);
  }
}

static void
append_bad_byte(char byte, GString *out)
{
  g_string_append_printf(out, "<0x%02X>", (guint8)byte);
}

void
gem_escaper_push(GemEscaper *self, const char *bytes, gsize length, GString *out)
{
  g_autoptr(GString) text = g_string_new_len(self->partial, (gssize)self->n_partial);
  const char *p, *end;

  g_string_append_len(text, bytes, (gssize)length);
  self->n_partial = 0;
  end = text->str + text->len;
  for (p = text->str; p < end;) {
    gunichar c = *p == '\0' ? 0 : g_utf8_get_char_validated(p, end - p);

    if (c == (gunichar)-2 && end - p < (gssize)sizeof self->partial) {
      self->n_partial = (gsize)(end - p);
      memcpy(self->partial, p, self->n_partial);
      return;
    }
    if (c == (gunichar)-1 || c == (gunichar)-2) {
      append_bad_byte(*p++, out);
    } else {
      append_character(self->mode, c, out);
      p += g_utf8_skip[(guint8)*p];
    }
  }
}

void
gem_escaper_finish(GemEscaper *self, GString *out)
{
  gsize i;

  for (i = 0; i < self->n_partial; i++) {
    append_bad_byte(self->partial[i], out);
  }
  self->n_partial = 0;
}

char *
gem_escape_text(const char *text, GemEscapeMode mode)
{
  GString *out = g_string_new(NULL);
  GemEscaper escaper = {.mode = mode};

  gem_escaper_push(&escaper, text, strlen(text), out);
  gem_escaper_finish(&escaper, out);
  return g_string_free(out, FALSE);
}
