#include "daemon/pressure/gem-pressure-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of more the rest is thrown away at the next turn of the loop. */
#define DISCARD_BYTES 4096

struct _GemPressureWatch {
  void (*told)(gpointer data);
  gpointer data;
  guchar *echo; /* what was written into a FIFO, which may come back; NULL: nothing is awaited */
  gsize n_echo;
  GSource *source; /* NULL: it stopped working */
  int fd;
};

gboolean
gem_pressure_watch_is_off(const char *path)
{
  return g_str_equal(path, "/dev/null");
}

static gboolean
fail(GError **error, const char *path, const char *what)
{
  int code = errno;

  g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: %s: %s", path, what,
              g_strerror(code));
  return FALSE;
}

static int
open_socket(const char *path, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd;

  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail(error, path, "the socket cannot be connected");
    return -1;
  }
  memcpy(address.sun_path, path, strlen(path));
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
    fail(error, path, "the socket cannot be connected");
    if (fd >= 0) {
      close(fd);
    }
    return -1;
  }
  return fd;
}

/* A FIFO is open for writing too, so that it does not hang up when the last who writes goes away. */
static int
open_file(const char *path, int mode, GError **error)
{
  int fd = open(path, mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0) {
    fail(error, path, "it cannot be opened");
  }
  return fd;
}

/* In one piece, as the kernel wants its triggers. */
static gboolean
write_payload(GemPressureWatch *self, const char *path, const char *payload, gboolean echoes, GError **error)
{
  gsize length = 0;
  g_autofree guchar *bytes = g_base64_decode(payload, &length);

  if (length == 0) {
    return TRUE;
  }
  errno = 0;
  if (write(self->fd, bytes, length) != (gssize)length) {
    return fail(error, path, "the payload cannot be written");
  }
  if (echoes) {
    self->echo = g_steal_pointer(&bytes);
    self->n_echo = length;
  }
  return TRUE;
}

static gboolean
stop(GemPressureWatch *self, const char *why)
{
  g_debug("memory pressure: the service manager is no longer listened to: %s", why);
  g_clear_pointer(&self->source, g_source_unref);
  return G_SOURCE_REMOVE;
}

static gboolean
on_pressure_file(int fd, GIOCondition condition, gpointer data)
{
  GemPressureWatch *self = data;

  if ((condition & (G_IO_ERR | G_IO_NVAL)) != 0) {
    return stop(self, "the pressure file has no trigger, or its control group is gone");
  }
  self->told(self->data);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_writer(int fd, GIOCondition condition, gpointer data)
{
  GemPressureWatch *self = data;
  g_autofree guchar *echo = g_steal_pointer(&self->echo);
  guchar discarded[DISCARD_BYTES];
  gssize length = read(fd, discarded, sizeof discarded);

  if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
    return stop(self, length == 0 ? "the other end is closed" : g_strerror(errno));
  }
  if (length > 0 &&
      (echo == NULL || (gsize)length != self->n_echo || memcmp(discarded, echo, self->n_echo) != 0)) {
    self->told(self->data);
  }
  return G_SOURCE_CONTINUE;
}

static void
watch(GemPressureWatch *self, GIOCondition condition, GUnixFDSourceFunc function)
{
  self->source = g_unix_fd_source_new(self->fd, condition);
  g_source_set_callback(self->source, G_SOURCE_FUNC(function), self, NULL);
  g_source_attach(self->source, g_main_context_get_thread_default());
}

GemPressureWatch *
gem_pressure_watch_new(
    const char *path, const char *payload, void (*told)(gpointer data), gpointer data, GError **error)
{
  g_autoptr(GemPressureWatch) self = g_new0(GemPressureWatch, 1);
  gboolean regular, fifo;
  struct stat status;

  *self = (GemPressureWatch){.told = told, .data = data, .fd = -1};
  if (!g_path_is_absolute(path) || stat(path, &status) < 0) {
    errno = g_path_is_absolute(path) ? errno : EINVAL;
    fail(error, path, "there is nothing to watch");
    return NULL;
  }
  regular = S_ISREG(status.st_mode);
  fifo = S_ISFIFO(status.st_mode);
  if (!regular && !fifo && !S_ISSOCK(status.st_mode)) {
    errno = EINVAL;
    fail(error, path, "neither a regular file nor a FIFO nor a socket");
    return NULL;
  }
  self->fd = !regular && !fifo ? open_socket(path, error)
                               : open_file(path, fifo || payload != NULL ? O_RDWR : O_RDONLY, error);
  if (self->fd < 0 || (payload != NULL && !write_payload(self, path, payload, fifo, error))) {
    return NULL;
  }
  watch(self, regular ? G_IO_PRI : G_IO_IN, regular ? on_pressure_file : on_writer);
  return g_steal_pointer(&self);
}

void
gem_pressure_watch_free(GemPressureWatch *self)
{
  if (self->source != NULL) {
    g_source_destroy(self->source);
    g_source_unref(self->source);
  }
  if (self->fd >= 0) {
    close(self->fd);
  }
  g_free(self->echo);
  g_free(self);
}
