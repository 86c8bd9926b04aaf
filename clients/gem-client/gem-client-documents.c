#include "clients/gem-client/gem-client-documents.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-escape.h"
#include "dbus/gem-error.h"

#define BLOCK        65536u
#define LONGEST_CHAR 4u
/* More is never learned from; the service says how much it takes. */
#define MOST_BYTES (G_GUINT64_CONSTANT(1) << 30)

typedef struct {
  int fd;
  guint64 bytes;
  char last[2]; /* bytes */
} Sink;

/* One of the texts, while it is read. */
typedef struct {
  const char *path;
  int from;
  guint64 bytes;
  /* What was read; a character that was cut in two stands at the beginning of the next. */
  char block[LONGEST_CHAR + BLOCK];
  gsize kept;
  gboolean returned; /* the last character was a carriage return: a line end is to follow */
} Document;

/* Transfer full. */
static char *
show_path(const char *path)
{
  return strcmp(path, "-") == 0 ? g_strdup("standard input") : gem_escape_text(path, GEM_ESCAPE_STREAM);
}

static gboolean
fail(const char *path, GError **error)
{
  int saved = errno;
  g_autofree char *shown = show_path(path);

  g_set_error(error, G_IO_ERROR, g_io_error_from_errno(saved), "%s: %s", shown, g_strerror(saved));
  return FALSE;
}

static gboolean
sink_write(Sink *sink, const char *bytes, gsize length, const char *path, GError **error)
{
  if (length == 0) {
    return TRUE;
  }
  if (sink->bytes + length > MOST_BYTES) {
    errno = EFBIG;
    return fail(path, error);
  }
  sink->bytes += length;
  sink->last[0] = length > 1 ? bytes[length - 2] : sink->last[1];
  sink->last[1] = bytes[length - 1];
  while (length > 0) {
    gssize n = write(sink->fd, bytes, length);

    if (n < 0 && errno != EINTR) {
      return fail("the text", error);
    }
    if (n > 0) {
      bytes += n;
      length -= (gsize)n;
    }
  }
  return TRUE;
}

/* What is there ends with a blank line before the next document begins. */
static gboolean
sink_separate(Sink *sink, const char *path, GError **error)
{
  if (sink->bytes == 0) {
    return TRUE;
  }
  return (sink->last[1] == '\n' || sink_write(sink, "\n", 1, path, error)) &&
         (sink->last[0] == '\n' || sink_write(sink, "\n", 1, path, error));
}

static gboolean
fail_text(const Document *document, guint64 byte, const char *what, GError **error)
{
  g_autofree char *shown = show_path(document->path);

  g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "%s: byte %" G_GUINT64_FORMAT " is %s", shown, byte,
              what);
  return FALSE;
}

/* Of the control characters, those of texts alone, as the service has it. */
static gboolean
check_controls(Document *document, const char *end, GError **error)
{
  guint64 offset = document->bytes - document->kept;

  for (const char *at = document->block; at < end; at = g_utf8_next_char(at)) {
    gunichar character = g_utf8_get_char(at);
    gboolean is_control = g_unichar_iscntrl(character) && strchr("\t\n\f\r", (int)character) == NULL;

    if (is_control || (document->returned && character != '\n')) {
      return fail_text(document, offset + (guint64)(at - document->block) + (is_control ? 1 : 0),
                       "a control character, and no tab or line end", error);
    }
    document->returned = character == '\r';
  }
  return TRUE;
}

/* Looks at the `n` bytes that were read; the last character may go on in the next ones. */
static gboolean
check_block(Document *document, gsize n, GError **error)
{
  const char *end = document->block;
  gsize length = document->kept + n, left;

  g_utf8_validate_len(document->block, length, &end);
  left = (gsize)(document->block + length - end);
  /* GLib takes a NUL for the begin of a character, too. */
  if (left >= LONGEST_CHAR ||
      (left > 0 && (*end == '\0' || g_utf8_get_char_validated(end, (gssize)left) != (gunichar)-2))) {
    return fail_text(document, document->bytes + n - left + 1, "not of UTF-8, or a NUL", error);
  }
  if (!check_controls(document, end, error)) {
    return FALSE;
  }
  memmove(document->block, end, left);
  document->kept = left;
  document->bytes += n;
  return TRUE;
}

static gboolean
sink_add(Sink *sink, Document *document, GError **error)
{
  gssize n;

  while ((n = read(document->from, document->block + document->kept, BLOCK)) != 0) {
    if (n < 0 && errno != EINTR) {
      return fail(document->path, error);
    }
    if (n > 0 && (!sink_write(sink, document->block + document->kept, (gsize)n, document->path, error) ||
                  !check_block(document, (gsize)n, error))) {
      return FALSE;
    }
  }
  return document->kept == 0 || fail_text(document, document->bytes - document->kept + 1,
                                          "the begin of a character that is cut off", error);
}

static gboolean
sink_add_path(Sink *sink, const char *path, GError **error)
{
  g_autofree Document *document = g_new0(Document, 1);
  gboolean added;

  document->path = path;
  document->from = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  if (document->from < 0) {
    return fail(path, error);
  }
  added = sink_separate(sink, path, error) && sink_add(sink, document, error);
  close(document->from);
  return added;
}

int
gem_documents_to_memfd(const char *const *paths, GError **error)
{
  static const char *const standard_input[] = {"-", NULL};
  Sink sink = {.fd = memfd_create("gem-text", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  gboolean filled = sink.fd >= 0 || fail("the text", error);

  for (const char *const *path = paths != NULL && paths[0] != NULL ? paths : standard_input;
       filled && *path != NULL; path++) {
    filled = sink_add_path(&sink, *path, error);
  }
  if (filled && fcntl(sink.fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    filled = fail("the text", error);
  }
  if (!filled && sink.fd >= 0) {
    close(sink.fd);
  }
  return filled ? sink.fd : -1;
}
