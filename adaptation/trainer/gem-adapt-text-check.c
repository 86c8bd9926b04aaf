#include "adaptation/trainer/gem-adapt-text-check.h"

#include <string.h>

typedef struct {
  guint64 lines, control, invalid, first; /* first: number of the first bad line, from 1; 0: none */
} Findings;

static gboolean
has_control(const char *line, const char *end)
{
  for (const char *at = line; at < end; at = g_utf8_next_char(at)) {
    gunichar character = g_utf8_get_char(at);
    if (character != '\t' && g_unichar_iscntrl(character)) {
      return TRUE;
    }
  }
  return FALSE;
}

/* A NUL is valid nowhere in UTF-8 as GLib sees it, but it is a control character to everybody else. */
static void
check_line(const char *line, const char *end, Findings *findings)
{
  gboolean nul = memchr(line, '\0', (gsize)(end - line)) != NULL;
  gboolean invalid = !nul && !g_utf8_validate(line, end - line, NULL);
  gboolean control = nul || (!invalid && has_control(line, end));
  findings->lines++;
  findings->invalid += invalid ? 1 : 0;
  findings->control += control ? 1 : 0;
  if ((invalid || control) && findings->first == 0) {
    findings->first = findings->lines;
  }
}

G_DEFINE_QUARK(gem - adapt - text - error - quark, gem_adapt_text_error)

static gsize
settle_line_ends(char *text, gsize length)
{
  gsize kept = 0;
  for (gsize i = 0; i < length; i++) {
    if (text[i] == '\f') {
      text[kept++] = '\n';
    } else if (text[i] != '\r' || i + 1 == length || text[i + 1] != '\n') {
      text[kept++] = text[i];
    }
  }
  memset(text + kept, 0, length - kept);
  return kept;
}

gboolean
gem_adapt_text_check(char *text, gsize *length, GError **error)
{
  Findings findings = {0};
  *length = settle_line_ends(text, *length);
  const char *end = text + *length;
  for (const char *line = text; line < end;) {
    const char *newline = memchr(line, '\n', (gsize)(end - line));
    check_line(line, newline != NULL ? newline : end, &findings);
    line = newline != NULL ? newline + 1 : end;
  }
  if (findings.first > 0) {
    g_set_error(error, GEM_ADAPT_TEXT_ERROR, 0,
                "of %" G_GUINT64_FORMAT " lines of the text %" G_GUINT64_FORMAT
                " have control characters and %" G_GUINT64_FORMAT " are not UTF-8; the first is line "
                "%" G_GUINT64_FORMAT,
                findings.lines, findings.control, findings.invalid, findings.first);
    return FALSE;
  }
  return TRUE;
}
