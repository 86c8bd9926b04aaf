#include "dbus/gem-text-scan.h"

#include <string.h>

#include "dbus/gem-error.h"

#define LONGEST_CHAR (sizeof(((GemTextScan *)NULL)->block) - GEM_TEXT_SCAN_PART)

static gboolean
fail(const GemTextScan *self, guint64 byte, const char *what, GError **error)
{
  g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "%s: byte %" G_GUINT64_FORMAT " is %s", self->name,
              byte, what);
  return FALSE;
}

static gboolean
fail_control(const GemTextScan *self, guint64 byte, GError **error)
{
  return fail(self, byte, "a control character, and no tab or line end", error);
}

/* The whole characters of the block, up to `end`. */
static gboolean
scan_controls(GemTextScan *self, const char *end, GError **error)
{
  guint64 offset = self->bytes - self->kept;

  for (const char *at = self->block; at < end; at = g_utf8_next_char(at)) {
    gunichar character = g_utf8_get_char(at);
    gboolean is_good =
        character == '\n' || (!self->returned && (!g_unichar_iscntrl(character) || character == '\t' ||
                                                  character == '\f' || character == '\r'));

    if (!is_good) {
      /* A carriage return without a line end is itself the one. */
      return fail_control(self, offset + (guint64)(at - self->block) + (self->returned ? 0 : 1), error);
    }
    self->returned = character == '\r';
  }
  return TRUE;
}

/* Whether these bytes are the beginning of a character; to GLib a NUL is, too. */
static gboolean
may_go_on(const char *bytes, gsize n)
{
  return *bytes != '\0' && g_utf8_get_char_validated(bytes, (gssize)n) == (gunichar)-2;
}

char *
gem_text_scan_room(GemTextScan *self)
{
  return self->block + self->kept;
}

gboolean
gem_text_scan_part(GemTextScan *self, gsize n, GError **error)
{
  gsize length = self->kept + n, left;
  const char *end = self->block;

  g_utf8_validate_len(self->block, length, &end);
  left = (gsize)(self->block + length - end);
  if (left >= LONGEST_CHAR || (left > 0 && !may_go_on(end, left))) {
    return fail(self, self->bytes + n - left + 1, "not of UTF-8, or a NUL", error);
  }
  if (!scan_controls(self, end, error)) {
    return FALSE;
  }
  memmove(self->block, end, left);
  self->kept = left;
  self->bytes += n;
  return TRUE;
}

gboolean
gem_text_scan_end(const GemTextScan *self, GError **error)
{
  if (self->kept > 0) {
    return fail(self, self->bytes - self->kept + 1, "the beginning of a character that is cut off", error);
  }
  return !self->returned || fail_control(self, self->bytes, error);
}
