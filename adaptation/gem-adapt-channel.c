#include "adaptation/gem-adapt-channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adaptation/gem-adapt-fields.h"

/* More than a packet may bring: so that one with too many is seen, and not cut. */
#define MOST_FILES (GEM_ADAPT_N_FILES + GEM_ADAPT_MAX_PATHWAYS + 1)

struct _GemAdaptChannel {
  int fd;
  GemAdaptWay receives;
};

typedef union {
  struct cmsghdr header; /* for its alignment */
  guint8 bytes[CMSG_SPACE(MOST_FILES * sizeof(int))];
} Control;

/* ---- its ends ---- */

static gboolean
is_channel(int fd)
{
  int type = 0, domain = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
         getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

GemAdaptChannel *
gem_adapt_channel_new(int fd, GemAdaptWay receives, GError **error)
{
  if (!is_channel(fd)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "descriptor %d is no sequential-packet socket of the unix family", fd);
    gem_adapt_close(&fd);
    return NULL;
  }
  GemAdaptChannel *self = g_new0(GemAdaptChannel, 1);
  self->fd = fd;
  self->receives = receives;
  return self;
}

gboolean
gem_adapt_channel_make_pair(int *ret_daemon, int *ret_trainer, GError **error)
{
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    int number = errno;
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(number), "cannot make a pair of sockets: %s",
                g_strerror(number));
    return FALSE;
  }
  *ret_daemon = ends[0];
  *ret_trainer = ends[1];
  return TRUE;
}

void
gem_adapt_channel_free(GemAdaptChannel *self)
{
  if (self != NULL) {
    gem_adapt_close(&self->fd);
    g_free(self);
  }
}

int
gem_adapt_channel_get_fd(const GemAdaptChannel *self)
{
  return self->fd;
}

gboolean
gem_adapt_channel_wait(const GemAdaptChannel *self, GIOCondition condition, int milliseconds)
{
  short events = (short)((condition & G_IO_IN ? POLLIN : 0) | (condition & G_IO_OUT ? POLLOUT : 0));
  struct pollfd poller = {.fd = self->fd, .events = events};
  return poll(&poller, 1, milliseconds) > 0;
}

/* ---- sending ---- */

static gboolean
fail_socket(int number, GError **error)
{
  if (number == EPIPE || number == ECONNRESET || number == ENOTCONN) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the other side has gone");
  } else {
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(number), "the channel: %s",
                g_strerror(number));
  }
  return FALSE;
}

static void
attach_files(struct msghdr *message, Control *control, const GArray *files)
{
  gsize size = files->len * sizeof(int);
  if (size == 0) {
    return;
  }
  message->msg_control = control->bytes;
  message->msg_controllen = CMSG_SPACE(size);
  struct cmsghdr *header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(header), files->data, size);
}

gboolean
gem_adapt_channel_send(GemAdaptChannel *self, const GemAdaptPacket *packet, GError **error)
{
  g_autoptr(GArray) files = g_array_new(FALSE, FALSE, sizeof(int));
  g_autoptr(GBytes) bytes = gem_adapt_packet_write(packet, files);
  gsize size = 0;
  gconstpointer data = g_bytes_get_data(bytes, &size);
  struct iovec part = {(gpointer)data, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  Control control = {0};
  if (files->len > MOST_FILES) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "a packet with %u files, where %u may come",
                files->len, (guint)MOST_FILES);
    return FALSE;
  }
  attach_files(&message, &control, files);
  gssize sent;
  do {
    sent = sendmsg(self->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0 || fail_socket(errno, error);
}

/* ---- receiving ---- */

/* All descriptors that came, whatever else did. */
static GArray *
collect_files(struct msghdr *message)
{
  GArray *files = g_array_new(FALSE, FALSE, sizeof(int));
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
       header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      gsize n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (gsize i = 0; i < n; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        g_array_append_val(files, fd);
      }
    }
  }
  return files;
}

static void
close_files(GArray *files)
{
  for (guint i = 0; i < files->len; i++) {
    gem_adapt_close(&g_array_index(files, int, i));
  }
}

static GemAdaptPacket *
read_packet(const GemAdaptChannel *self, guint8 *data, gsize size, int flags, GArray *files, GError **error)
{
  if ((flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "a packet that is too large, or with too many files");
    return NULL;
  }
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  return gem_adapt_packet_read(bytes, files, self->receives, error);
}

GemAdaptPacket *
gem_adapt_channel_receive(GemAdaptChannel *self, GError **error)
{
  g_autofree guint8 *data = g_malloc(GEM_ADAPT_MAX_PACKET);
  struct iovec part = {data, GEM_ADAPT_MAX_PACKET};
  Control control = {0};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  gssize got;
  do {
    got = recvmsg(self->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    fail_socket(errno, error);
    return NULL;
  }
  g_autoptr(GArray) files = collect_files(&message);
  GemAdaptPacket *packet = NULL;
  if (got == 0 && files->len == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "the other side has gone");
  } else {
    packet = read_packet(self, data, (gsize)got, message.msg_flags, files, error);
  }
  close_files(files); /* a packet that was read has taken its own */
  return packet;
}
