#include "daemon/bus/gem-idle.h"

static const char *const names[] = {"calls", "sessions", "requests", "jobs", "holds", "loading", "model"};
G_STATIC_ASSERT(G_N_ELEMENTS(names) == GEM_IDLE_N_KINDS);

/* When the last call came: written by the thread that reads from the bus, which may outlive the GemIdle. */
typedef struct {
  _Atomic gint64 last; /* monotonic, us */
} Calls;

struct _GemIdle {
  GDBusConnection *connection;
  void (*expired)(gpointer data);
  gpointer data;
  guint milliseconds;
  guint counts[GEM_IDLE_N_KINDS];
  guint total;
  gint64 since; /* monotonic, us: there was a reason until then */
  Calls *calls;
  guint filter;
  guint timer; /* source; 0: there is a reason, or no time is set */
};

/* On GDBus's own thread, before the call is dispatched. */
static GDBusMessage *
on_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  Calls *calls = data;

  if (incoming && g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL) {
    calls->last = g_get_monotonic_time();
  }
  return message;
}

static gboolean
on_timer(gpointer data);

/* What is left of the time, in ms; 0: it is over. */
static gint64
idle_left(GemIdle *self)
{
  gint64 since = MAX(self->since, self->calls->last);
  gint64 left = since + (gint64)self->milliseconds * 1000 - g_get_monotonic_time();

  return left > 0 ? (left + 999) / 1000 : 0;
}

static void
idle_arm(GemIdle *self)
{
  g_clear_handle_id(&self->timer, g_source_remove);
  if (self->total == 0 && self->milliseconds > 0) {
    /* Of the lowest priority: calls that have come are dispatched first. */
    self->timer = g_timeout_add_full(G_PRIORITY_LOW, (guint)MAX(idle_left(self), 1), on_timer, self, NULL);
  }
}

static gboolean
on_timer(gpointer data)
{
  GemIdle *self = data;
  gboolean over = idle_left(self) == 0;

  self->timer = 0;
  if (over) {
    self->since = g_get_monotonic_time();
  }
  idle_arm(self);
  if (over) {
    self->expired(self->data);
  }
  return G_SOURCE_REMOVE;
}

GemIdle *
gem_idle_new(GDBusConnection *connection, void (*expired)(gpointer data), gpointer data)
{
  GemIdle *self = g_new0(GemIdle, 1);

  self->connection = g_object_ref(connection);
  self->expired = expired;
  self->data = data;
  self->since = g_get_monotonic_time();
  self->calls = g_atomic_rc_box_new0(Calls);
  self->filter = g_dbus_connection_add_filter(connection, on_message, g_atomic_rc_box_acquire(self->calls),
                                              g_atomic_rc_box_release);
  return self;
}

void
gem_idle_free(GemIdle *self)
{
  g_clear_handle_id(&self->timer, g_source_remove);
  g_dbus_connection_remove_filter(self->connection, self->filter);
  g_atomic_rc_box_release(self->calls);
  g_object_unref(self->connection);
  g_free(self);
}

void
gem_idle_set_milliseconds(GemIdle *self, guint milliseconds)
{
  self->milliseconds = milliseconds;
  idle_arm(self);
}

void
gem_idle_inhibit(GemIdle *self, GemIdleKind kind)
{
  self->counts[kind]++;
  self->total++;
  g_clear_handle_id(&self->timer, g_source_remove);
}

void
gem_idle_release(GemIdle *self, GemIdleKind kind)
{
  g_assert(self->counts[kind] > 0);
  self->counts[kind]--;
  self->total--;
  if (self->total == 0) {
    self->since = g_get_monotonic_time();
    idle_arm(self);
  }
}

GVariant *
gem_idle_describe(GemIdle *self)
{
  GVariantBuilder counts;

  g_variant_builder_init(&counts, G_VARIANT_TYPE("a{st}"));
  for (guint i = 0; i < GEM_IDLE_N_KINDS; i++) {
    if (self->counts[i] > 0) {
      g_variant_builder_add(&counts, "{st}", names[i], (guint64)self->counts[i]);
    }
  }
  return g_variant_builder_end(&counts);
}
