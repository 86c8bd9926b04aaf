#include "daemon/bus/gem-caller.h"

#include <malloc.h>
#include <string.h>

#define BUS_NAME      "org.freedesktop.DBus"
#define BUS_PATH      "/org/freedesktop/DBus"
#define BUS_INTERFACE "org.freedesktop.DBus"

/* Whoever leaves the bus. One rule for all callers: of rules a system bus takes 512 from a connection. */
#define LEAVING_RULE                                                                                         \
  "type='signal',sender='" BUS_NAME "',path='" BUS_PATH "',interface='" BUS_INTERFACE                        \
  "',member='NameOwnerChanged',arg2=''"

/* How long after the last connection of a user has left the user is forgotten, if nothing of his is left, and
 * after most have left what they had in memory is given back to the system. */
#define TRIM_SECONDS 2u

struct _GemCallers {
  GDBusConnection *connection;
  guint leaving;       /* subscription */
  guint peak;          /* callers at a time, since the heap was trimmed */
  guint trim;          /* source */
  GHashTable *callers; /* sender -> GemCaller, owned */
  GHashTable *users;   /* uid -> GemUser, each with a reference */
  guint here;          /* users that are connected; the others are to be forgotten */
  GemQuotaUse use;     /* of all of them */
};

typedef struct {
  GemCallerIdentified done;
  gpointer data;
} Waiting;

static void
caller_clear(gpointer data)
{
  GemCaller *self = data;

  if (self->user != NULL) {
    self->user->callers--;
    g_rc_box_release(self->user);
  }
  g_ptr_array_unref(self->waiting);
  g_object_unref(self->bye);
  g_free(self->mangled);
  g_free(self->sender);
}

GemCaller *
gem_caller_ref(GemCaller *self)
{
  return g_rc_box_acquire(self);
}

void
gem_caller_unref(GemCaller *self)
{
  g_rc_box_release_full(self, caller_clear);
}

static void
caller_settle(GemCaller *self)
{
  g_autoptr(GPtrArray) waiting = self->waiting;

  self->waiting = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < waiting->len; i++) {
    const Waiting *one = g_ptr_array_index(waiting, i);

    one->done(self, one->data);
  }
}

/* Whether all that is known of the user is that there was one: no connection that anything still refers to,
 * and nothing in use. What begins anew for who comes back is then what it was. Never at once: who gives back
 * the last of something may still look. */
static gboolean
user_is_over(gpointer uid, gpointer value, gpointer data)
{
  static const GemUser nothing = {0};
  const GemUser *user = value;

  return user->callers == 0 && memcmp(&user->use, &nothing.use, sizeof user->use) == 0 &&
         memcmp(user->running, nothing.running, sizeof user->running) == 0;
}

/* Half of the callers: what so many had at once lies scattered over the heap, which keeps it. */
static gboolean
most_have_left(const GemCallers *self)
{
  return g_hash_table_size(self->callers) <= self->peak / 2;
}

static gboolean
on_trim(gpointer data)
{
  GemCallers *self = data;

  g_hash_table_foreach_remove(self->users, user_is_over, NULL);
  if (most_have_left(self)) {
    self->peak = g_hash_table_size(self->callers);
    malloc_trim(0);
  }
  if (g_hash_table_size(self->users) > self->here) {
    return G_SOURCE_CONTINUE; /* something of theirs is still at work, which nobody tells the end of */
  }
  self->trim = 0;
  return G_SOURCE_REMOVE;
}

static void
callers_trim_later(GemCallers *self)
{
  if (self->trim == 0 && (most_have_left(self) || g_hash_table_size(self->users) > self->here)) {
    self->trim = g_timeout_add_seconds(TRIM_SECONDS, on_trim, self);
  }
}

/* Takes the caller out of the table and ends what it has; others may still hold a reference. */
static void
caller_leave(GemCaller *self)
{
  self->gone = TRUE;
  if (self->callers != NULL) {
    g_hash_table_remove(self->callers->callers, self->sender);
    if (self->user != NULL && --self->user->here == 0) {
      self->callers->here--;
    }
    callers_trim_later(self->callers);
    self->callers = NULL;
  }
  caller_settle(self);
  g_cancellable_cancel(self->bye);
  gem_caller_unref(self);
}

static void
on_leaving(GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  GemCallers *self = data;
  const char *name, *owner;
  GemCaller *caller;

  g_variant_get(parameters, "(&s&s&s)", &name, NULL, &owner);
  caller = owner[0] == '\0' ? g_hash_table_lookup(self->callers, name) : NULL;
  if (caller != NULL) {
    caller_leave(caller);
  }
}

static void
on_match_added(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

  if (reply == NULL && !g_dbus_connection_is_closed(G_DBUS_CONNECTION(source))) {
    g_warning("the bus does not tell who leaves it: %s", error->message);
  }
}

static void
call_bus(GemCallers *self,
         const char *method,
         const char *argument,
         const char *reply_type,
         GAsyncReadyCallback callback,
         gpointer data)
{
  g_dbus_connection_call(self->connection, BUS_NAME, BUS_PATH, BUS_INTERFACE, method,
                         g_variant_new("(s)", argument), G_VARIANT_TYPE(reply_type), G_DBUS_CALL_FLAGS_NONE,
                         -1, NULL, callback, data);
}

GemCallers *
gem_callers_new(GDBusConnection *connection)
{
  GemCallers *self = g_new0(GemCallers, 1);

  self->connection = g_object_ref(connection);
  self->callers = g_hash_table_new(g_str_hash, g_str_equal);
  self->users = g_hash_table_new_full(NULL, NULL, NULL, g_rc_box_release);
  self->leaving =
      g_dbus_connection_signal_subscribe(connection, BUS_NAME, BUS_INTERFACE, "NameOwnerChanged", BUS_PATH,
                                         NULL, G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_leaving, self, NULL);
  call_bus(self, "AddMatch", LEAVING_RULE, "()", on_match_added, NULL);
  return self;
}

GemCaller *
gem_callers_get(GemCallers *self, const char *sender)
{
  GemCaller *caller = g_hash_table_lookup(self->callers, sender);

  if (caller == NULL) {
    caller = g_rc_box_new0(GemCaller);
    caller->callers = self;
    caller->sender = g_strdup(sender);
    caller->mangled = g_strdelimit(g_strdup(sender + (sender[0] == ':')), ".", '_');
    caller->bye = g_cancellable_new();
    caller->waiting = g_ptr_array_new_with_free_func(g_free);
    g_hash_table_insert(self->callers, caller->sender, caller);
    self->peak = MAX(self->peak, g_hash_table_size(self->callers));
  }
  return caller;
}

static GemUser *
user_get(GemCallers *self, guint32 uid)
{
  GemUser *user = g_hash_table_lookup(self->users, GUINT_TO_POINTER(uid));

  if (user == NULL) {
    user = g_rc_box_new0(GemUser);
    user->uid = uid;
    user->all = &self->use;
    g_hash_table_insert(self->users, GUINT_TO_POINTER(uid), user);
  }
  return user;
}

static void
on_credentials(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemCaller) self = data;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);
  g_autoptr(GVariant) credentials = reply != NULL ? g_variant_get_child_value(reply, 0) : NULL;
  guint32 uid;

  if (self->gone) {
    return;
  }
  if (credentials != NULL && g_variant_lookup(credentials, "UnixUserID", "u", &uid)) {
    self->user = g_rc_box_acquire(user_get(self->callers, uid));
    self->user->callers++;
    if (self->user->here++ == 0) {
      self->callers->here++;
    }
    caller_settle(self);
  } else {
    caller_leave(self); /* fails closed */
  }
}

void
gem_caller_identify(GemCaller *self, GemCallerIdentified done, gpointer data)
{
  Waiting *waiting;

  if (self->user != NULL || self->gone) {
    done(self, data);
    return;
  }
  waiting = g_new(Waiting, 1);
  *waiting = (Waiting){done, data};
  g_ptr_array_add(self->waiting, waiting);
  if (!self->identifying) {
    self->identifying = TRUE;
    call_bus(self->callers, "GetConnectionCredentials", self->sender, "(a{sv})", on_credentials,
             gem_caller_ref(self));
  }
}

void
gem_callers_free(GemCallers *self)
{
  g_autoptr(GList) callers = g_hash_table_get_values(self->callers);

  for (GList *item = callers; item != NULL; item = item->next) {
    caller_leave(item->data);
  }
  g_clear_handle_id(&self->trim, g_source_remove);
  g_dbus_connection_signal_unsubscribe(self->connection, self->leaving);
  call_bus(self, "RemoveMatch", LEAVING_RULE, "()", NULL, NULL);
  g_hash_table_unref(self->callers);
  g_hash_table_unref(self->users);
  g_object_unref(self->connection);
  g_free(self);
}

const GemQuotaUse *
gem_callers_get_use(const GemCallers *self)
{
  return &self->use;
}

guint
gem_callers_count_users(const GemCallers *self)
{
  return g_hash_table_size(self->users);
}

GemQuotaHold
gem_user_hold(GemUser *self, const GemConfig *config)
{
  GemQuotaHold hold;

  gem_quota_hold_init(&hold, config, &self->use, self->all);
  return hold;
}
