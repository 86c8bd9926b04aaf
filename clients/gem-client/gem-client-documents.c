#include "clients/gem-client/gem-client-documents.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-escape.h"
#include "dbus/gem-text-scan.h"

/* More is never learned from; the service says how much it takes. */
#define MOST_BYTES (G_GUINT64_CONSTANT(1) << 30)

typedef struct {
  int fd;
  guint64 bytes;
  char last[2]; /* bytes */
} Sink;

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

/* A file that was cut between the two bytes of its last line end gets the other one: alone the first is no
 * part of a text. */
static gboolean
sink_end_line(Sink *sink, GemTextScan *scan, const char *path, GError **error)
{
  if (!scan->returned || scan->kept > 0) {
    return TRUE;
  }
  *gem_text_scan_room(scan) = '\n';
  return sink_write(sink, "\n", 1, path, error) && gem_text_scan_part(scan, 1, error);
}

static gboolean
sink_add(Sink *sink, int from, GemTextScan *scan, const char *path, GError **error)
{
  gssize n;

  while ((n = read(from, gem_text_scan_room(scan), GEM_TEXT_SCAN_PART)) != 0) {
    if (n < 0 && errno != EINTR) {
      return fail(path, error);
    }
    if (n > 0 && (!sink_write(sink, gem_text_scan_room(scan), (gsize)n, path, error) ||
                  !gem_text_scan_part(scan, (gsize)n, error))) {
      return FALSE;
    }
  }
  return sink_end_line(sink, scan, path, error) && gem_text_scan_end(scan, error);
}

static gboolean
sink_add_path(Sink *sink, const char *path, GError **error)
{
  g_autofree GemTextScan *scan = g_new0(GemTextScan, 1);
  g_autofree char *shown = show_path(path);
  int from = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  gboolean added;

  if (from < 0) {
    return fail(path, error);
  }
  scan->name = shown;
  added = sink_separate(sink, path, error) && sink_add(sink, from, scan, path, error);
  close(from);
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
