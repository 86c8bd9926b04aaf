#include "daemon/bus/gem-sleep.h"

#include <gio/gunixfdlist.h>
#include <unistd.h>

#define LOGIND_NAME      "org.freedesktop.login1"
#define LOGIND_PATH      "/org/freedesktop/login1"
#define LOGIND_INTERFACE "org.freedesktop.login1.Manager"

struct _GemSleep {
  GDBusConnection *connection;
  void (*prepare)(gpointer data);
  void (*woke)(gpointer data);
  gpointer data;
  guint name, signal;   /* watch, subscription */
  char *owner;          /* logind's unique name; NULL: it is not there */
  GCancellable *asking; /* for the lock; NULL: not now */
  int lock;             /* -1: none */
  gboolean asleep;      /* or about to be */
};

static void
release(GemSleep *self)
{
  if (self->lock >= 0) {
    close(self->lock);
  }
  self->lock = -1;
}

static void
stop_asking(GemSleep *self)
{
  if (self->asking != NULL) {
    g_cancellable_cancel(self->asking);
  }
  g_clear_object(&self->asking);
}

static void
on_lock(GObject *source, GAsyncResult *result, gpointer data)
{
  GemSleep *self = data;
  g_autoptr(GUnixFDList) fds = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer =
      g_dbus_connection_call_with_unix_fd_list_finish(G_DBUS_CONNECTION(source), &fds, result, &error);
  gint32 handle = -1;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return; /* `self` may be gone */
  }
  g_clear_object(&self->asking);
  if (answer == NULL) {
    g_debug("sleep is not delayed: %s", error->message);
    return;
  }
  g_variant_get(answer, "(h)", &handle);
  self->lock = fds != NULL ? g_unix_fd_list_get(fds, handle, &error) : -1;
  if (self->lock < 0) {
    g_debug("sleep is not delayed: %s", error != NULL ? error->message : "logind sent no lock");
  }
}

static void
take_lock(GemSleep *self)
{
  if (self->lock >= 0 || self->asking != NULL || self->asleep) {
    return;
  }
  self->asking = g_cancellable_new();
  g_dbus_connection_call_with_unix_fd_list(
      self->connection, LOGIND_NAME, LOGIND_PATH, LOGIND_INTERFACE, "Inhibit",
      g_variant_new("(ssss)", "sleep", "gemd", "Caches of conversations are dropped", "delay"),
      G_VARIANT_TYPE("(h)"), G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, self->asking, on_lock, self);
}

static void
on_prepare(GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  GemSleep *self = data;
  gboolean begins = FALSE;

  /* GDBus before 2.80 takes a signal of that name from anybody. */
  if (g_strcmp0(sender, self->owner) != 0 || !g_variant_is_of_type(parameters, G_VARIANT_TYPE("(b)"))) {
    return;
  }
  g_variant_get(parameters, "(b)", &begins);
  if (begins == self->asleep) {
    return;
  }
  self->asleep = begins;
  if (begins) {
    /* A lock that came now would only be in the way. */
    stop_asking(self);
    self->prepare(self->data);
  } else {
    take_lock(self);
    self->woke(self->data);
  }
}

static void
on_appeared(GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
  GemSleep *self = data;

  g_free(self->owner);
  self->owner = g_strdup(owner);
  self->asleep = FALSE;
  take_lock(self);
}

static void
on_vanished(GDBusConnection *connection, const char *name, gpointer data)
{
  GemSleep *self = data;

  g_debug("there is no logind: nothing is known of the machine's sleep");
  g_clear_pointer(&self->owner, g_free);
  stop_asking(self);
  release(self);
}

GemSleep *
gem_sleep_new(GDBusConnection *connection,
              void (*prepare)(gpointer data),
              void (*woke)(gpointer data),
              gpointer data)
{
  GemSleep *self = g_new0(GemSleep, 1);

  self->connection = g_object_ref(connection);
  self->prepare = prepare;
  self->woke = woke;
  self->data = data;
  self->lock = -1;
  self->signal =
      g_dbus_connection_signal_subscribe(connection, LOGIND_NAME, LOGIND_INTERFACE, "PrepareForSleep",
                                         LOGIND_PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_prepare, self, NULL);
  self->name = g_bus_watch_name_on_connection(connection, LOGIND_NAME, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                              on_appeared, on_vanished, self, NULL);
  return self;
}

void
gem_sleep_free(GemSleep *self)
{
  g_bus_unwatch_name(self->name);
  g_dbus_connection_signal_unsubscribe(self->connection, self->signal);
  stop_asking(self);
  release(self);
  g_object_unref(self->connection);
  g_free(self->owner);
  g_free(self);
}

void
gem_sleep_ready(GemSleep *self)
{
  release(self);
  /* The machine did not wait for it, and has woken since: the next sleep is to be delayed again. */
  if (self->owner != NULL) {
    take_lock(self);
  }
}
