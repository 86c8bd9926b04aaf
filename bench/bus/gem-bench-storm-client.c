/* One client of a storm: it connects, and does one thing after the other until the storm stops. */
#include "bench/bus/gem-bench-storm-act.h"

#include "dbus/gem-names.h"

/* A client that was refused, or cut off, comes again after 10 ms to so many. */
#define MOST_PAUSE_MS 110

struct _GemStormClient {
  GemStorm *storm;
  GRand *random;
  GCancellable *leaving;
  GDBusConnection *bus;  /* NULL while it connects, and when it has left */
  char *mangled;         /* its unique name as an element of an object path */
  guint finished, owner; /* subscriptions */
  guint pause;           /* source */
  GemStormAct *act;      /* NULL: none runs */
  guint serial;
  gboolean gone;
};

static void
client_next(GemStormClient *self);
static void
client_connect(GemStormClient *self);

static void
on_finished(GDBusConnection *bus,
            const char *sender,
            const char *path,
            const char *interface,
            const char *name,
            GVariant *parameters,
            gpointer data)
{
  GemStormClient *self = data;

  if (self->act != NULL) {
    gem_storm_act_finished(self->act, path, parameters);
  }
}

/* Comes on the connection that Finished would have come on, after it. */
static void
on_owner(GDBusConnection *bus,
         const char *sender,
         const char *path,
         const char *interface,
         const char *name,
         GVariant *parameters,
         gpointer data)
{
  GemStormClient *self = data;
  const char *old;

  g_variant_get(parameters, "(&s&s&s)", NULL, &old, NULL);
  if (old[0] != '\0' && self->act != NULL) {
    gem_storm_act_service_left(self->act);
  }
}

static void
client_disconnect(GemStormClient *self)
{
  if (self->bus != NULL) {
    g_dbus_connection_signal_unsubscribe(self->bus, self->finished);
    g_dbus_connection_signal_unsubscribe(self->bus, self->owner);
    g_dbus_connection_close(self->bus, NULL, NULL, NULL);
    g_clear_object(&self->bus);
  }
  g_clear_pointer(&self->mangled, g_free);
}

static void
client_leave(GemStormClient *self)
{
  client_disconnect(self);
  if (!self->gone) {
    self->gone = TRUE;
    self->storm->present--;
  }
}

static gboolean
on_pause(gpointer data)
{
  GemStormClient *self = data;

  self->pause = 0;
  client_next(self);
  return G_SOURCE_REMOVE;
}

static void
client_pause(GemStormClient *self)
{
  self->pause = g_timeout_add((guint)g_rand_int_range(self->random, 10, MOST_PAUSE_MS), on_pause, self);
}

static void
on_act_over(GemStormOutcome outcome, gpointer data)
{
  GemStormClient *self = data;
  gboolean vanished = gem_storm_act_has_vanished(self->act);

  g_clear_pointer(&self->act, gem_storm_act_unref);
  if (vanished) {
    client_disconnect(self);
  }
  if (outcome == GEM_STORM_RIGHT) {
    client_next(self);
  } else {
    client_pause(self);
  }
}

static void
client_next(GemStormClient *self)
{
  if (self->storm->stopping) {
    client_leave(self);
  } else if (self->bus == NULL) {
    client_connect(self);
  } else {
    self->act = gem_storm_act_new(self->storm, self->bus, self->mangled, ++self->serial, self->random,
                                  on_act_over, self);
    gem_storm_act_begin(self->act);
  }
}

static void
on_connected(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusConnection) bus = g_dbus_connection_new_for_address_finish(result, &error);
  GemStormClient *self;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return; /* the client is gone */
  }
  self = data;
  if (bus == NULL) {
    g_autofree char *note = g_strconcat("no connection to the bus: ", error->message, NULL);

    gem_storm_tally_note(self->storm->tally, note);
    self->storm->tally->counts[GEM_STORM_VANISH][GEM_STORM_FAILED]++;
    client_pause(self);
    return;
  }
  self->bus = g_steal_pointer(&bus);
  self->mangled = g_strdelimit(g_strdup(g_dbus_connection_get_unique_name(self->bus) + 1), ".", '_');
  /* Signals of a request have a destination: they need no match rule. */
  self->finished =
      g_dbus_connection_signal_subscribe(self->bus, NULL, GEM_REQUEST_INTERFACE, "Finished", NULL, NULL,
                                         G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_finished, self, NULL);
  self->owner = g_dbus_connection_signal_subscribe(self->bus, "org.freedesktop.DBus", "org.freedesktop.DBus",
                                                   "NameOwnerChanged", NULL, GEM_BUS_NAME,
                                                   G_DBUS_SIGNAL_FLAGS_NONE, on_owner, self, NULL);
  client_next(self);
}

static void
client_connect(GemStormClient *self)
{
  g_dbus_connection_new_for_address(self->storm->plan->address,
                                    G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                        G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                    NULL, self->leaving, on_connected, self);
}

GemStormClient *
gem_storm_client_new(GemStorm *storm, guint index)
{
  GemStormClient *self = g_new0(GemStormClient, 1);

  self->storm = storm;
  self->random = g_rand_new_with_seed_array((guint32[]){storm->plan->seed, index}, 2);
  self->leaving = g_cancellable_new();
  client_connect(self);
  return self;
}

void
gem_storm_client_free(GemStormClient *self)
{
  if (self->act != NULL) {
    gem_storm_act_give_up(self->act);
    g_clear_pointer(&self->act, gem_storm_act_unref);
  }
  g_clear_handle_id(&self->pause, g_source_remove);
  g_cancellable_cancel(self->leaving);
  client_leave(self);
  g_object_unref(self->leaving);
  g_rand_free(self->random);
  g_free(self);
}
