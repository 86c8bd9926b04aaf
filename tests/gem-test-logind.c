#include "tests/gem-test-logind.h"

#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <poll.h>
#include <unistd.h>

#include "tests/gem-test-patience.h"

#define PATIENCE 20

static const char introspection[] =
    "<node><interface name='org.freedesktop.login1.Manager'><method name='Inhibit'>"
    "<arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='s' direction='in'/><arg type='h' direction='out'/></method></interface></node>";

static void
on_inhibit(GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *method,
           GVariant *parameters,
           GDBusMethodInvocation *invocation,
           gpointer data)
{
  GemTestLogind *self = data;
  g_autoptr(GUnixFDList) fds = NULL;
  const char *what, *who, *why, *mode;
  int ends[2];

  g_variant_get(parameters, "(&s&s&s&s)", &what, &who, &why, &mode);
  g_assert_cmpstr(what, ==, "sleep");
  g_assert_cmpstr(who, ==, "gemd");
  g_assert_cmpstr(mode, ==, "delay");
  self->asked++;
  if (self->refuses) {
    g_dbus_method_invocation_return_dbus_error(invocation, "org.freedesktop.DBus.Error.AccessDenied",
                                               "Permission denied");
    return;
  }
  g_assert_true(g_unix_open_pipe(ends, FD_CLOEXEC, NULL));
  g_assert_cmpint(self->lock, ==, -1);
  self->lock = ends[0];
  fds = g_unix_fd_list_new_from_array(&ends[1], 1);
  g_dbus_method_invocation_return_value_with_unix_fd_list(invocation, g_variant_new("(h)", 0), fds);
}

void
gem_test_logind_start(GemTestLogind *self, GemTestBus *bus)
{
  static const GDBusInterfaceVTable table = {.method_call = on_inhibit};
  g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(introspection, NULL);
  g_autoptr(GVariant) owned = NULL;
  g_autoptr(GError) error = NULL;

  self->lock = -1;
  self->connection = gem_test_bus_connect(bus);
  g_dbus_connection_register_object(self->connection, "/org/freedesktop/login1", node->interfaces[0], &table,
                                    self, NULL, &error);
  g_assert_no_error(error);
  owned = g_dbus_connection_call_sync(self->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                      "org.freedesktop.DBus", "RequestName",
                                      g_variant_new("(su)", GEM_TEST_LOGIND, 0), NULL, G_DBUS_CALL_FLAGS_NONE,
                                      -1, NULL, &error);
  g_assert_no_error(error);
  g_assert_nonnull(owned);
}

void
gem_test_logind_stop(GemTestLogind *self)
{
  g_dbus_connection_close_sync(self->connection, NULL, NULL);
  g_clear_object(&self->connection);
  if (self->lock >= 0) {
    close(self->lock);
  }
  self->lock = -1;
}

void
gem_test_logind_say(GemTestLogind *self, gboolean begins)
{
  g_autoptr(GError) error = NULL;

  g_dbus_connection_emit_signal(self->connection, NULL, "/org/freedesktop/login1", GEM_TEST_LOGIND ".Manager",
                                "PrepareForSleep", g_variant_new("(b)", begins), &error);
  g_assert_no_error(error);
}

void
gem_test_logind_wait_asked(GemTestLogind *self, guint asked)
{
  gint64 end = gem_test_deadline(PATIENCE);

  while (self->asked < asked && g_get_monotonic_time() < end) {
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
  g_assert_cmpuint(self->asked, ==, asked);
}

gboolean
gem_test_logind_has_lock(GemTestLogind *self)
{
  struct pollfd entry = {.fd = self->lock, .events = POLLIN};

  return self->lock >= 0 && poll(&entry, 1, 0) == 0;
}

void
gem_test_logind_wait_released(GemTestLogind *self)
{
  gint64 end = gem_test_deadline(PATIENCE);

  while (gem_test_logind_has_lock(self) && g_get_monotonic_time() < end) {
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
  g_assert_false(gem_test_logind_has_lock(self));
  close(self->lock);
  self->lock = -1;
}
