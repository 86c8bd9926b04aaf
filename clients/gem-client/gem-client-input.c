#include "clients/gem-client/gem-client-input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

static gboolean
check_text(const char *text, gsize length, GError **error)
{
  const char *bad;

  if (length > GEM_MAX_TEXT_BYTES) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                "the text has more than the %u bytes that the service takes", GEM_MAX_TEXT_BYTES);
    return FALSE;
  }
  if (!g_utf8_validate_len(text, length, &bad)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                "the text is not UTF-8 without NUL: byte %zu is 0x%02X", (gsize)(bad - text), (guint8)*bad);
    return FALSE;
  }
  return TRUE;
}

/* Reads all of standard input, or one byte more than is allowed. */
static GByteArray *
read_standard_input(GError **error)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  guint8 buffer[16384];

  /* One newline more than the text may have is dropped later. */
  while (bytes->len <= GEM_MAX_TEXT_BYTES + 1) {
    ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);

    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "standard input: %s", g_strerror(errno));
      return NULL;
    }
    if (got == 0) {
      break;
    }
    g_byte_array_append(bytes, buffer, (guint)got);
  }
  return g_steal_pointer(&bytes);
}

static char *
text_from_standard_input(GError **error)
{
  g_autoptr(GByteArray) bytes = read_standard_input(error);
  gsize length;

  if (bytes == NULL) {
    return NULL;
  }
  length = bytes->len;
  if (length > 0 && bytes->data[length - 1] == '\n') {
    length--;
  }
  if (length == 0) {
    return g_strdup(""); /* that it is empty the service says; an empty array has no data */
  }
  if (!check_text((const char *)bytes->data, length, error)) {
    return NULL;
  }
  return g_strndup((const char *)bytes->data, length);
}

char *
gem_input_text(const GemVerbOptions *options, GError **error)
{
  guint n = options->arguments == NULL ? 0 : g_strv_length(options->arguments);

  if (n > 1) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%u arguments in place of one text: put it in quotes", n);
    return NULL;
  }
  if (n == 0 && isatty(STDIN_FILENO)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "no text: give it as an argument, through a pipe, or as - to type it");
    return NULL;
  }
  if (n == 0 || strcmp(options->arguments[0], "-") == 0) {
    return text_from_standard_input(error);
  }
  if (!check_text(options->arguments[0], strlen(options->arguments[0]), error)) {
    return NULL;
  }
  return g_strdup(options->arguments[0]);
}
