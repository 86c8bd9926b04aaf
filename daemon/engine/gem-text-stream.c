#include "daemon/engine/gem-text-stream.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct GemTextStream {
  GStrv stop;
  GString *bytes; /* the first bytes of a character that is not complete */
  GString *held;  /* valid text that may be the beginning of a stop string */
};

GemTextStream *
gem_text_stream_new(const char *const *stop)
{
  GemTextStream *self = g_new0(GemTextStream, 1);

  self->stop = stop != NULL ? g_strdupv((char **)stop) : g_new0(char *, 1);
  self->bytes = g_string_new(NULL);
  self->held = g_string_new(NULL);
  return self;
}

static void
wipe_string(GString *string)
{
  explicit_bzero(string->str, string->allocated_len);
  g_string_free(string, TRUE);
}

void
gem_text_stream_free(GemTextStream *self)
{
  if (self == NULL) {
    return;
  }
  for (char **stop = self->stop; *stop != NULL; stop++) {
    explicit_bzero(*stop, strlen(*stop));
  }
  g_strfreev(self->stop);
  wipe_string(self->bytes);
  wipe_string(self->held);
  g_free(self);
}

/* Moves the whole characters of `bytes` to `held`. */
static void
take_characters(GemTextStream *self)
{
  const char *at = self->bytes->str;
  const char *end = at + self->bytes->len;

  while (at < end) {
    gunichar c = *at == '\0' ? (gunichar)-1 : g_utf8_get_char_validated(at, end - at);

    if (c == (gunichar)-2) {
      break;
    }
    if (c == (gunichar)-1) {
      g_string_append(self->held, REPLACEMENT);
      at++;
    } else {
      const char *next = g_utf8_next_char(at);

      g_string_append_len(self->held, at, next - at);
      at = next;
    }
  }
  g_string_erase(self->bytes, 0, at - self->bytes->str);
}

/* The place of the first stop string in `held`; -1: none. */
static gssize
find_stop(const GemTextStream *self)
{
  gssize first = -1;

  for (char **stop = self->stop; *stop != NULL; stop++) {
    const char *found = strstr(self->held->str, *stop);

    if (found != NULL && (first < 0 || found - self->held->str < first)) {
      first = found - self->held->str;
    }
  }
  return first;
}

/* Length of the longest end of `held` that begins a stop string. */
static gsize
length_in_doubt(const GemTextStream *self)
{
  gsize longest = 0;

  for (char **stop = self->stop; *stop != NULL; stop++) {
    gsize length = MIN(strlen(*stop) - 1, self->held->len);

    for (; length > longest; length--) {
      if (memcmp(self->held->str + self->held->len - length, *stop, length) == 0) {
        longest = length;
      }
    }
  }
  return longest;
}

gboolean
gem_text_stream_push(GemTextStream *self, const char *bytes, gsize length, GString *text)
{
  gssize stop;
  gsize certain;

  g_string_append_len(self->bytes, bytes, (gssize)length);
  take_characters(self);
  stop = find_stop(self);
  certain = stop >= 0 ? (gsize)stop : self->held->len - length_in_doubt(self);
  g_string_append_len(text, self->held->str, (gssize)certain);
  g_string_erase(self->held, 0, stop >= 0 ? -1 : (gssize)certain);
  if (stop >= 0) {
    g_string_truncate(self->bytes, 0);
  }
  return stop >= 0;
}

void
gem_text_stream_finish(GemTextStream *self, GString *text)
{
  g_string_append_len(text, self->held->str, (gssize)self->held->len);
  for (gsize i = 0; i < self->bytes->len; i++) {
    g_string_append(text, REPLACEMENT);
  }
  g_string_truncate(self->held, 0);
  g_string_truncate(self->bytes, 0);
}
