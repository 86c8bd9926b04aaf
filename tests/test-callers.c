/* Callers and their users, on a bus that the test plays: who is forgotten, and who is not. */
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/bus/gem-caller.h"
#include "dbus/gem-error.h"
#include "tests/gem-test-patience.h"

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

typedef struct {
  GDBusConnection *bus, *connection; /* the test's end, and that of who is tested */
  GemCallers *callers;
  GemConfig *config;
} Fixture;

/* ":1.42" is of user 42. */
static guint32
uid_of(const char *name)
{
  return (guint32)strtoul(name + strlen(":1."), NULL, 10);
}

static GVariant *
make_credentials(const char *name)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", "UnixUserID", g_variant_new_uint32(uid_of(name)));
  return g_variant_new("(a{sv})", &builder);
}

/* On GDBus's thread. */
static GDBusMessage *
on_message(GDBusConnection *bus, GDBusMessage *message, gboolean incoming, gpointer data)
{
  const char *method = g_dbus_message_get_member(message), *name;
  GVariant *answer = NULL;
  g_autoptr(GDBusMessage) reply = NULL;

  if (!incoming || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL) {
    return message;
  }
  reply = g_dbus_message_new_method_reply(message);
  if (g_str_equal(method, "Hello")) {
    answer = g_variant_new("(s)", ":1.0");
  } else if (g_str_equal(method, "GetConnectionCredentials")) {
    g_variant_get(g_dbus_message_get_body(message), "(&s)", &name);
    answer = make_credentials(name);
  }
  if (answer != NULL) {
    g_dbus_message_set_body(reply, answer);
  }
  g_dbus_connection_send_message(bus, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
  g_object_unref(message);
  return NULL;
}

static GDBusConnection *
open_end(int fd, GDBusConnectionFlags flags)
{
  g_autoptr(GSocket) socket = g_socket_new_from_fd(fd, NULL);
  g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);
  g_autoptr(GError) error = NULL;
  GDBusConnection *end = g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL, flags, NULL, NULL, &error);

  g_assert_no_error(error);
  return end;
}

static void
setup(Fixture *self, gconstpointer data)
{
  int ends[2];

  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  self->bus = open_end(ends[0], G_DBUS_CONNECTION_FLAGS_NONE);
  g_dbus_connection_add_filter(self->bus, on_message, NULL, NULL);
  self->connection = open_end(ends[1], G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION);
  self->callers = gem_callers_new(self->connection);
  self->config = gem_config_new();
  self->config->max_sessions_per_user = 1;
}

static void
teardown(Fixture *self, gconstpointer data)
{
  gem_callers_free(self->callers);
  gem_config_unref(self->config);
  g_dbus_connection_close_sync(self->connection, NULL, NULL);
  g_object_unref(self->connection);
  g_object_unref(self->bus);
}

static void
on_identified(GemCaller *caller, gpointer data)
{
  *(gboolean *)data = TRUE;
}

/* Borrowed, identified. */
static GemCaller *
come(Fixture *self, const char *name)
{
  GemCaller *caller = gem_callers_get(self->callers, name);
  gboolean is_known = FALSE;

  gem_caller_identify(caller, on_identified, &is_known);
  while (!is_known) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpuint(caller->user->uid, ==, uid_of(name));
  return caller;
}

/* Until it was heard of. */
static void
leave(Fixture *self, const char *name)
{
  g_autoptr(GemCaller) caller = gem_caller_ref(gem_callers_get(self->callers, name));
  g_autoptr(GDBusMessage) signal = g_dbus_message_new_signal(BUS_PATH, BUS_NAME, "NameOwnerChanged");

  g_dbus_message_set_sender(signal, BUS_NAME);
  g_dbus_message_set_body(signal, g_variant_new("(sss)", name, name, ""));
  g_dbus_connection_send_message(self->bus, signal, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
  while (!caller->gone) {
    g_main_context_iteration(NULL, TRUE);
  }
}

static gboolean
on_tick(gpointer data)
{
  return G_SOURCE_CONTINUE;
}

static void
wait_for_users(Fixture *self, guint users)
{
  guint tick = g_timeout_add(50, on_tick, NULL);
  gint64 deadline = gem_test_deadline(15);

  while (gem_callers_count_users(self->callers) != users && g_get_monotonic_time() < deadline) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_source_remove(tick);
  g_assert_cmpuint(gem_callers_count_users(self->callers), ==, users);
}

/* A user of whom nothing is left goes; one who has something in use, or a call at work, or a connection that
 * is still referred to, does not, and finds it as it was. */
static void
test_forgotten(Fixture *self, gconstpointer data)
{
  GemQuotaHold hold, again;
  GemCaller *referred;
  GemUser *working;
  g_autoptr(GError) error = NULL;

  come(self, ":1.1");
  hold = gem_user_hold(come(self, ":1.2")->user, self->config);
  referred = gem_caller_ref(come(self, ":1.3"));
  working = come(self, ":1.4")->user;
  g_assert_true(gem_quota_take(&hold, GEM_QUOTA_SESSIONS, 1, &error));
  working->running[GEM_QUEUE_ASKS]++;
  g_assert_cmpuint(gem_callers_count_users(self->callers), ==, 4);
  leave(self, ":1.1");
  leave(self, ":1.2");
  leave(self, ":1.3");
  leave(self, ":1.4");
  wait_for_users(self, 3);

  g_assert_true(come(self, ":1.4")->user == working);
  again = gem_user_hold(come(self, ":1.2")->user, self->config);
  g_assert_false(gem_quota_take(&again, GEM_QUOTA_SESSIONS, 1, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);

  gem_quota_hold_clear(&hold);
  working->running[GEM_QUEUE_ASKS]--;
  gem_caller_unref(referred);
  g_assert_cmpuint(gem_callers_count_users(self->callers), ==, 3);
  leave(self, ":1.2");
  leave(self, ":1.4");
  wait_for_users(self, 0);
}

/* However many others stay, and though nobody else leaves once nothing of him is left. */
static void
test_others_stay(Fixture *self, gconstpointer data)
{
  GemCaller *referred;

  come(self, ":1.11");
  come(self, ":1.12");
  come(self, ":1.13");
  come(self, ":1.14");
  leave(self, ":1.14");
  wait_for_users(self, 3);
  referred = gem_caller_ref(come(self, ":1.15"));
  come(self, ":1.16");
  leave(self, ":1.15");
  leave(self, ":1.16");
  wait_for_users(self, 4);
  gem_caller_unref(referred);
  wait_for_users(self, 3);
}

/* Whoever refers to a caller may do so longer than there is anybody to count. */
static void
test_outlives(Fixture *self, gconstpointer data)
{
  GemCaller *caller = gem_caller_ref(come(self, ":1.5"));

  gem_callers_free(self->callers);
  g_assert_true(caller->gone);
  g_assert_cmpuint(caller->user->uid, ==, 5);
  gem_caller_unref(caller);
  self->callers = gem_callers_new(self->connection);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/callers/" name, Fixture, NULL, setup, test, teardown)
  ADD("forgotten", test_forgotten);
  ADD("others-stay", test_others_stay);
  ADD("outlives", test_outlives);
  return g_test_run();
}
