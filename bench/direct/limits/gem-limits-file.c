#include "bench/direct/limits/gem-limits-file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench/direct/limits/gem-bench-file-cache.h"

/* Bytes of one read: they stay in the second-level cache. */
#define CHUNK (256u * 1024)

/* Reads what is read of an open file; the errno of what failed, or 0. */
static int
read_chunks(int file, char *room, guint64 *ret_bytes)
{
  guint64 bytes = 0;
  gssize n = 1;

  while (bytes < GEM_LIMITS_FILE_MOST && n != 0) {
    n = read(file, room, CHUNK);
    if (n < 0 && errno != EINTR) {
      return errno;
    }
    bytes += n > 0 ? (guint64)n : 0;
  }
  *ret_bytes = bytes;
  return 0;
}

/* GB/s. */
static gboolean
time_read(const char *path, double *ret_rate, guint64 *ret_bytes, GError **error)
{
  g_autofree char *room = g_malloc0(CHUNK); /* touched before the clock runs */
  int file = open(path, O_RDONLY | O_CLOEXEC);
  gint64 started = g_get_monotonic_time(), taken;
  int failed = file < 0 ? errno : read_chunks(file, room, ret_bytes);

  taken = MAX(1, g_get_monotonic_time() - started);
  if (file >= 0) {
    close(file);
  }
  if (failed != 0) {
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(failed), "%s: %s", path,
                g_strerror(failed));
    return FALSE;
  }
  if (*ret_bytes == 0) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: an empty file: nothing to read", path);
    return FALSE;
  }
  *ret_rate = (double)*ret_bytes / (double)taken / 1e3;
  return TRUE;
}

GemLimitsFile *
gem_limits_file_new(const char *path, GError **error)
{
  guint64 bytes = 0;
  double rate;
  GemLimitsFile *self;

  if (!time_read(path, &rate, &bytes, error)) {
    return NULL;
  }
  self = g_new0(GemLimitsFile, 1);
  self->path = g_strdup(path);
  self->bytes = bytes;
  self->cached = g_array_new(FALSE, FALSE, sizeof(double));
  self->stored = g_array_new(FALSE, FALSE, sizeof(double));
  return self;
}

void
gem_limits_file_free(GemLimitsFile *self)
{
  g_array_unref(self->cached);
  g_array_unref(self->stored);
  g_free(self->path);
  g_free(self);
}

gboolean
gem_limits_file_measure(GemLimitsFile *self, GError **error)
{
  double stored, cached;
  guint64 left;

  if (!gem_bench_file_cache_drop(self->path, &left, error) ||
      !time_read(self->path, &stored, &self->bytes, error) ||
      !time_read(self->path, &cached, &self->bytes, error)) {
    return FALSE;
  }
  self->left = MAX(self->left, left);
  if (left == 0) {
    g_array_append_val(self->stored, stored);
  }
  g_array_append_val(self->cached, cached);
  return TRUE;
}
