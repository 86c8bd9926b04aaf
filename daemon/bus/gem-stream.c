#include "daemon/bus/gem-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "dbus/gem-error.h"
#include "format/gem-wipe.h"

struct _GemStream {
  const GemStreamEvents *events;
  gpointer data;
  int fd;          /* -1: closed */
  GString *queue;  /* what the pipe did not take yet */
  gint64 progress; /* monotonic: when the reader last made room, or the queue began */
  guint hang_up;   /* source: the reader went away */
  guint writable;  /* source: the pipe takes more; 0 while the queue is empty */
  gboolean finishing;
};

static void
stream_close(GemStream *self)
{
  g_clear_handle_id(&self->hang_up, g_source_remove);
  g_clear_handle_id(&self->writable, g_source_remove);
  if (self->fd >= 0) {
    close(self->fd);
    self->fd = -1;
  }
  /* A caller's answer: wiped, not only freed. */
  explicit_bzero(self->queue->str, self->queue->allocated_len);
  g_string_truncate(self->queue, 0);
}

static void
stream_break(GemStream *self)
{
  stream_close(self);
  if (self->finishing) {
    self->events->closed(self->data);
  } else {
    self->events->broken(self->data);
  }
}

static gboolean
on_hang_up(int fd, GIOCondition condition, gpointer data)
{
  GemStream *self = data;

  self->hang_up = 0;
  stream_break(self);
  return G_SOURCE_REMOVE;
}

/* Bytes taken, 0 when the pipe is full, -1 when the reader is gone. */
static gssize
pipe_write(int fd, const void *bytes, gsize length)
{
  gssize written;

  do {
    written = write(fd, bytes, length);
  } while (written < 0 && errno == EINTR);
  if (written < 0 && errno == EAGAIN) {
    return 0;
  }
  return written;
}

/* What moves up leaves a copy of the answer's end behind it: wiped, too. */
static void
queue_drop(GemStream *self, gsize length)
{
  g_string_erase(self->queue, 0, (gssize)length);
  explicit_bzero(self->queue->str + self->queue->len, length);
}

static gboolean
on_writable(int fd, GIOCondition condition, gpointer data)
{
  GemStream *self = data;
  gssize written = pipe_write(self->fd, self->queue->str, self->queue->len);
  gboolean keep;

  if (written < 0) {
    self->writable = 0;
    stream_break(self);
    return G_SOURCE_REMOVE;
  }
  if (written > 0) {
    self->progress = g_get_monotonic_time();
  }
  queue_drop(self, (gsize)written);
  keep = self->queue->len > 0;
  if (!keep) {
    self->writable = 0;
  }
  if (self->finishing && !keep) {
    stream_close(self);
    self->events->closed(self->data);
  } else if (!self->finishing && self->queue->len <= GEM_STREAM_LOW_WATER) {
    self->events->drained(self->data);
  }
  return keep ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

GemStream *
gem_stream_new(const GemStreamEvents *events, gpointer data, int *ret_reader, GError **error)
{
  GemStream *self;
  int ends[2];

  if (pipe2(ends, O_CLOEXEC) < 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "no pipe for the answer: %s", g_strerror(errno));
    return NULL;
  }
  /* Only this end: the reader's stays as its owner expects a pipe to be. */
  if (!g_unix_set_fd_nonblocking(ends[1], TRUE, error)) {
    close(ends[0]);
    close(ends[1]);
    return NULL;
  }
  self = g_new0(GemStream, 1);
  self->events = events;
  self->data = data;
  self->fd = ends[1];
  self->queue = g_string_new(NULL);
  self->hang_up = g_unix_fd_add(self->fd, G_IO_ERR, on_hang_up, self);
  *ret_reader = ends[0];
  return self;
}

void
gem_stream_free(GemStream *self)
{
  stream_close(self);
  gem_wipe_string(self->queue);
  g_free(self);
}

void
gem_stream_write(GemStream *self, const char *text, gsize length)
{
  gssize written = 0;

  g_return_if_fail(!self->finishing);
  if (self->fd < 0) {
    return;
  }
  if (self->queue->len == 0) {
    written = pipe_write(self->fd, text, length);
    if (written < 0) {
      stream_break(self);
      return;
    }
  }
  if ((gsize)written < length) {
    if (self->queue->len == 0) {
      self->progress = g_get_monotonic_time();
    }
    gem_wipe_append(&self->queue, text + written, length - (gsize)written);
    if (self->writable == 0) {
      self->writable = g_unix_fd_add(self->fd, G_IO_OUT, on_writable, self);
    }
  }
}

gsize
gem_stream_get_queued(GemStream *self)
{
  return self->queue->len;
}

gint64
gem_stream_get_stalled(GemStream *self, gint64 now)
{
  return self->queue->len > 0 ? MAX(now - self->progress, 0) : 0;
}

void
gem_stream_finish(GemStream *self)
{
  g_return_if_fail(!self->finishing);
  self->finishing = TRUE;
  if (self->queue->len == 0) {
    stream_close(self);
    self->events->closed(self->data);
  }
}
