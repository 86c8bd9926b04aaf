#include "clients/gem-client/gem-client-remote.h"

#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

#define DBUS_NAME      "org.freedesktop.DBus"
#define DBUS_PATH      "/org/freedesktop/DBus"
#define DBUS_INTERFACE "org.freedesktop.DBus"

void
gem_remote_free(GemRemote *self)
{
  g_clear_object(&self->bus);
  g_free(self->owner);
  g_free(self);
}

static GDBusConnection *
connect_bus(const GemVerbOptions *options, GError **error)
{
  if (options->address != NULL) {
    return g_dbus_connection_new_for_address_sync(options->address,
                                                  G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                      G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                                  NULL, NULL, error);
  }
  return g_bus_get_sync(options->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
}

GemRemote *
gem_remote_new(const GemVerbOptions *options, GError **error)
{
  /* Registers the names of the service's errors, so that replies carry them. */
  G_GNUC_UNUSED GQuark errors = gem_error_quark();
  g_autoptr(GError) local = NULL;
  g_autoptr(GDBusConnection) bus = connect_bus(options, &local);
  const char *name = options->address != NULL ? options->address : options->session ? "session" : "system";
  GemRemote *self;

  if (bus == NULL) {
    g_set_error(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_SERVER, "no connection to the %s bus: %s", name,
                local->message);
    return NULL;
  }
  /* A bus that goes away is an error of the call, not the end of the process. */
  g_dbus_connection_set_exit_on_close(bus, FALSE);
  self = g_new0(GemRemote, 1);
  self->bus = g_steal_pointer(&bus);
  return self;
}

/* What a service that is there takes to answer, when it has other work. */
#define LEAST_MILLISECONDS 1000

/* For a call that would wait for `wont` (ms; -1: 25 s). */
static gint
timeout_of(const GemRemote *self, gint wont)
{
  gint64 left = (self->deadline - g_get_monotonic_time()) / 1000;

  return self->deadline == 0 ? wont : (gint)CLAMP(left, LEAST_MILLISECONDS, G_MAXINT);
}

static GVariant *
call_bus(GemRemote *self, const char *method, GVariant *arguments, const char *reply_type, GError **error)
{
  return g_dbus_connection_call_sync(self->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE, method, arguments,
                                     G_VARIANT_TYPE(reply_type), G_DBUS_CALL_FLAGS_NONE, timeout_of(self, -1),
                                     NULL, error);
}

/* Why it could not be started is said by the bus or, in words of its own
 * (org.freedesktop.systemd1.UnitMasked), by the service manager behind it: whatever it is, the service is not
 * there. But who is not allowed to, or too often, is told that. */
static void
note_failed_start(GError *error)
{
  if (!g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED) &&
      !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_AUTH_FAILED) &&
      !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED)) {
    error->domain = G_DBUS_ERROR;
    error->code = G_DBUS_ERROR_SERVICE_UNKNOWN;
  }
}

gboolean
gem_remote_find(GemRemote *self, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GVariant) started = NULL;
  g_autoptr(GVariant) reply =
      call_bus(self, "GetNameOwner", g_variant_new("(s)", GEM_BUS_NAME), "(s)", &local);

  if (reply == NULL && g_error_matches(local, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER)) {
    g_clear_error(&local);
    started = call_bus(self, "StartServiceByName", g_variant_new("(su)", GEM_BUS_NAME, 0u), "(u)", &local);
    if (started != NULL) {
      reply = call_bus(self, "GetNameOwner", g_variant_new("(s)", GEM_BUS_NAME), "(s)", &local);
    } else {
      note_failed_start(local);
    }
  }
  if (reply == NULL) {
    g_dbus_error_strip_remote_error(local);
    g_propagate_prefixed_error(error, g_steal_pointer(&local), "the service is not there: ");
    return FALSE;
  }
  g_clear_pointer(&self->owner, g_free);
  g_variant_get(reply, "(s)", &self->owner);
  return TRUE;
}

GemRemote *
gem_remote_open(const GemVerbOptions *options, GError **error)
{
  g_autoptr(GemRemote) self = gem_remote_new(options, error);

  if (self == NULL || !gem_remote_find(self, error)) {
    return NULL;
  }
  return g_steal_pointer(&self);
}

/* What is called: by `owner`, whoever that is. */
typedef struct {
  const char *path, *interface, *method;
  GVariant *arguments;
  const char *reply_type;
  GDBusCallFlags flags;
  gint timeout; /* ms */
} Call;

static GVariant *
call_owner(GemRemote *self, const Call *call, GError **error)
{
  return g_dbus_connection_call_sync(self->bus, self->owner, call->path, call->interface, call->method,
                                     call->arguments, G_VARIANT_TYPE(call->reply_type), call->flags,
                                     timeout_of(self, call->timeout), NULL, error);
}

GVariant *
gem_remote_call(GemRemote *self,
                const char *path,
                const char *interface,
                const char *method,
                GVariant *arguments,
                const char *reply_type,
                GError **error)
{
  const Call call = {path,      interface,  method,
                     arguments, reply_type, G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
                     G_MAXINT};

  return call_owner(self, &call, error);
}

gboolean
gem_remote_find_successor(GemRemote *self, const GError *error)
{
  g_autofree char *before = NULL;

  if (!g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN) &&
      !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) &&
      !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED) &&
      !g_error_matches(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN)) {
    return FALSE;
  }
  before = g_strdup(self->owner);
  return gem_remote_find(self, NULL) && !g_str_equal(self->owner, before);
}

/* The first call of a verb. */
static GVariant *
call_first(GemRemote *self, Call call, GError **error)
{
  g_autoptr(GVariant) kept = call.arguments != NULL ? g_variant_ref_sink(call.arguments) : NULL;
  g_autoptr(GError) local = NULL;
  GVariant *reply = call_owner(self, &call, &local);

  if (reply == NULL && gem_remote_find_successor(self, local)) {
    g_clear_error(&local);
    reply = call_owner(self, &call, &local);
  }
  if (reply == NULL) {
    g_propagate_error(error, g_steal_pointer(&local));
  }
  return reply;
}

GVariant *
gem_remote_call_manager(
    GemRemote *self, const char *method, GVariant *arguments, const char *reply_type, GError **error)
{
  const Call call = {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                     method,          arguments,
                     reply_type,      G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
                     G_MAXINT};

  return call_first(self, call, error);
}

GVariant *
gem_remote_call_unattended(
    GemRemote *self, const char *method, GVariant *arguments, const char *reply_type, GError **error)
{
  const Call call = {GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,  method, arguments,
                     reply_type,      G_DBUS_CALL_FLAGS_NONE, -1};

  return call_owner(self, &call, error);
}

GVariant *
gem_remote_get_properties(GemRemote *self, const char *path, const char *interface, GError **error)
{
  const Call call = {path,      "org.freedesktop.DBus.Properties",
                     "GetAll",  g_variant_new("(s)", interface),
                     "(a{sv})", G_DBUS_CALL_FLAGS_NONE,
                     -1};
  g_autoptr(GVariant) reply = call_first(self, call, error);

  return reply == NULL ? NULL : g_variant_get_child_value(reply, 0);
}

GVariant *
gem_remote_get_objects(GemRemote *self, GError **error)
{
  const Call call = {GEM_OBJECT_PATH,
                     "org.freedesktop.DBus.ObjectManager",
                     "GetManagedObjects",
                     NULL,
                     "(a{oa{sa{sv}}})",
                     G_DBUS_CALL_FLAGS_NONE,
                     -1};
  g_autoptr(GVariant) reply = call_first(self, call, error);

  return reply == NULL ? NULL : g_variant_get_child_value(reply, 0);
}
