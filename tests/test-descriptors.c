/*
 * Which messages may bring a descriptor, as GDBus's own thread finds them: one that goes on there with a
 * descriptor that no method takes would be closed on that thread, for as long as its owner likes.
 */
#include "daemon/bus/gem-descriptors.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "dbus/gem-names.h"
#include "tests/gem-test-patience.h"

typedef struct {
  GDBusConnection *service, *caller;
  GAsyncQueue *arrived; /* for each message: its descriptors and one */
} Fixture;

static void
on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
  GDBusConnection **ret_connection = data;
  g_autoptr(GError) error = NULL;

  *ret_connection = g_dbus_connection_new_finish(result, &error);
  g_assert_no_error(error);
}

static void
connect_end(int fd, GDBusConnectionFlags flags, const char *guid, GDBusConnection **ret_connection)
{
  g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);
  g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);

  g_dbus_connection_new(G_IO_STREAM(stream), guid, flags, NULL, NULL, on_connected, ret_connection);
}

/* Behind the guard: what GDBus is about to dispatch. */
static GDBusMessage *
on_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  GUnixFDList *list = g_dbus_message_get_unix_fd_list(message);

  if (incoming) {
    g_async_queue_push(data, GINT_TO_POINTER((list != NULL ? g_unix_fd_list_get_length(list) : 0) + 1));
  }
  return message;
}

static void
setup(Fixture *self, gconstpointer data)
{
  g_autofree char *guid = g_dbus_generate_guid();
  int ends[2];

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  connect_end(ends[0], G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER, guid, &self->service);
  connect_end(ends[1], G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, &self->caller);
  while (self->service == NULL || self->caller == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  self->arrived = g_async_queue_new();
  gem_descriptors_guard(self->service);
  g_dbus_connection_add_filter(self->service, on_message, self->arrived, NULL);
}

static void
teardown(Fixture *self, gconstpointer data)
{
  g_assert_true(g_dbus_connection_close_sync(self->caller, NULL, NULL));
  g_dbus_connection_close_sync(self->service, NULL, NULL); /* which may have heard of it already */
  g_object_unref(self->caller);
  g_object_unref(self->service);
  g_async_queue_unref(self->arrived);
}

/* Sends it with `count` writing ends of a pipe; how many of them arrived. The reading end is `ret_reader`'s.
 */
static int
send_with(Fixture *self, GDBusMessage *message, guint count, int *ret_reader)
{
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
  gpointer arrived;
  int ends[2];

  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  for (guint i = 0; i < count; i++) {
    g_assert_cmpint(g_unix_fd_list_append(list, ends[1], NULL), ==, (int)i);
  }
  close(ends[1]);
  g_dbus_message_set_unix_fd_list(message, list);
  g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
  g_assert_true(
      g_dbus_connection_send_message(self->caller, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL));
  g_assert_true(g_dbus_connection_flush_sync(self->caller, NULL, NULL));
  arrived = g_async_queue_timeout_pop(self->arrived, (guint64)gem_test_patience(20));
  g_assert_nonnull(arrived);
  *ret_reader = ends[0];
  return GPOINTER_TO_INT(arrived) - 1;
}

static void
wait_closed(int reader)
{
  struct pollfd end = {.fd = reader, .events = POLLIN};

  g_assert_cmpint(poll(&end, 1, (int)(gem_test_patience(20) / 1000)), ==, 1);
  g_assert_cmpint(end.revents, ==, POLLHUP);
  close(reader);
}

static GDBusMessage *
new_call(const char *path, const char *interface, const char *method, const char *body)
{
  GDBusMessage *call = g_dbus_message_new_method_call(NULL, path, interface, method);

  g_dbus_message_set_body(call, g_variant_new_parsed(body));
  return call;
}

#define BODY "('x', handle 0, @a{sv} {})"

static void
test_wanted(Fixture *self, gconstpointer data)
{
  g_autoptr(GDBusMessage) call = new_call(GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain", BODY);
  int reader = -1;

  g_assert_cmpint(send_with(self, call, 1, &reader), ==, 1);
  close(reader);
}

static void
test_unwanted(Fixture *self, gconstpointer data)
{
  static const struct {
    const char *path, *interface, *method, *body;
    guint count;
  } calls[] = {
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain", BODY, 2},
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain", "('x', handle 0)", 1},
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain", "('x', 1, @a{sv} {})", 1},
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain", "('x', handle 0, @a{sv} {}, 'x')", 1},
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask", "('x', @a{sv} {})", 1},
      {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Nothing", BODY, 1},
      {GEM_OBJECT_PATH, GEM_SESSION_INTERFACE, "AdaptDomain", BODY, 1},
      {GEM_OBJECT_PATH, NULL, "AdaptDomain", BODY, 1},
      {GEM_OBJECT_PATH "/pathway/legal", GEM_MANAGER_INTERFACE, "AdaptDomain", BODY, 1},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
    g_autoptr(GDBusMessage) call =
        new_call(calls[i].path, calls[i].interface, calls[i].method, calls[i].body);
    int reader = -1;

    g_test_message("call %" G_GSIZE_FORMAT, i);
    g_assert_cmpint(send_with(self, call, calls[i].count, &reader), ==, 0);
    g_clear_object(&call); /* the caller's own end */
    wait_closed(reader);
  }
}

static void
test_signal(Fixture *self, gconstpointer data)
{
  g_autoptr(GDBusMessage) signal =
      g_dbus_message_new_signal(GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "AdaptDomain");
  int reader = -1;

  g_dbus_message_set_body(signal, g_variant_new_parsed(BODY));
  g_assert_cmpint(send_with(self, signal, 1, &reader), ==, 0);
  g_clear_object(&signal);
  wait_closed(reader);
}

/* ---- descriptors that hang ---- */

#define HANGING 320 /* all threads that close, and as many more as are told of */

static guint warnings;

/* In place of the journal. */
static GLogWriterOutput
on_log(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  for (gsize i = 0; i < n; i++) {
    if (g_str_equal(fields[i].key, "MESSAGE_ID") && g_str_equal(fields[i].value, GEM_LOG_DESCRIPTORS)) {
      warnings++;
    }
  }
  return G_LOG_WRITER_HANDLED;
}

/* A connection to `listener`, which closing waits for as long as `ret_reader` takes nothing; -1: this machine
 * has no network at all. */
static int
connect_hanging(int listener, const struct sockaddr_in *address, int *ret_reader)
{
  const struct linger linger = {1, 3600};
  const int small = 2048;
  char bytes[4096] = {0};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), ==, 0);
  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), ==, 0);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
    close(fd);
    return -1;
  }
  *ret_reader = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint(*ret_reader, >=, 0);
  while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
  }
  return fd;
}

static int
listen_here(struct sockaddr_in *ret_address)
{
  const int small = 2048;
  socklen_t length = sizeof *ret_address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  *ret_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), ==, 0);
  g_assert_cmpint(bind(fd, (struct sockaddr *)ret_address, sizeof *ret_address), ==, 0);
  g_assert_cmpint(listen(fd, 8), ==, 0);
  g_assert_cmpint(getsockname(fd, (struct sockaddr *)ret_address, &length), ==, 0);
  return fd;
}

static void
close_pipe(void)
{
  int ends[2];

  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  gem_descriptors_close(ends[1]);
  wait_closed(ends[0]);
}

/* A few do not keep others from being closed; so many that they do are told of, once, and when they can be
 * closed all are. */
static void
test_hanging(void)
{
  struct sockaddr_in address;
  int listener = listen_here(&address), readers[HANGING + 2], fd;

  g_log_set_writer_func(on_log, NULL, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(readers); i++) {
    fd = connect_hanging(listener, &address, &readers[i]);
    if (fd < 0) {
      g_test_skip("no network to 127.0.0.1");
      return;
    }
    gem_descriptors_close(fd);
    if (i == 20) {
      close_pipe();
      g_assert_cmpuint(warnings, ==, 0);
    }
  }
  g_assert_cmpuint(warnings, ==, 1);
  for (gsize i = 0; i < G_N_ELEMENTS(readers); i++) {
    close(readers[i]); /* resets the connection */
  }
  close(listener);
  close_pipe();
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/descriptors/wanted", Fixture, NULL, setup, test_wanted, teardown);
  g_test_add("/descriptors/unwanted", Fixture, NULL, setup, test_unwanted, teardown);
  g_test_add("/descriptors/signal", Fixture, NULL, setup, test_signal, teardown);
  g_test_add_func("/descriptors/hanging", test_hanging);
  return g_test_run();
}
