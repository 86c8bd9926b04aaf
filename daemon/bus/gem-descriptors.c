#include "daemon/bus/gem-descriptors.h"

#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "dbus/gem-dbus-generated.h"
#include "dbus/gem-names.h"

/* Threads that close: one whose file system does not answer leaves room for others. */
#define MOST_THREADS 64
/* Descriptors that wait for one of them, before that is told: more than a flood of calls leaves behind. */
#define MANY_WAITING 256u

static void
close_one(gpointer data, gpointer none)
{
  close(GPOINTER_TO_INT(data) - 1);
}

static GThreadPool *
closing_threads(void)
{
  static gsize made = 0;

  if (g_once_init_enter(&made)) {
    /* Not exclusive: it never fails, and has no thread where there is nothing to close. */
    g_once_init_leave(&made, (gsize)g_thread_pool_new(close_one, NULL, MOST_THREADS, FALSE, NULL));
  }
  return (GThreadPool *)made;
}

/* Once, until none waits: which files they are of can be seen in /proc. Neither of the two can be mended
 * here: whichever process or thread closes a descriptor waits for its file system. */
static void
tell_waiting(guint waiting)
{
  static int told;
  g_autofree char *count = NULL;

  if (waiting == 0) {
    g_atomic_int_set(&told, 0);
  } else if (waiting > MANY_WAITING && g_atomic_int_compare_and_exchange(&told, 0, 1)) {
    count = g_strdup_printf("%u", waiting);
    gem_log(LOG_WARNING, GEM_LOG_DESCRIPTORS, (const char *[]){"GEM_COUNT", count, NULL},
            "%s descriptors that callers sent wait to be closed: %u before them do not come to an end", count,
            MOST_THREADS);
  }
}

void
gem_descriptors_close(int fd)
{
  if (fd >= 0) {
    /* When no thread can be started it waits in the pool: nothing to be done about it here. A pool holds no
     * NULL. */
    g_thread_pool_push(closing_threads(), GINT_TO_POINTER(fd + 1), NULL);
    tell_waiting(g_thread_pool_unprocessed(closing_threads()));
  }
}

int
gem_descriptors_take(GDBusMessage *message)
{
  GUnixFDList *list = g_dbus_message_get_unix_fd_list(message);
  gint n = 0;
  g_autofree gint *fds = list != NULL ? g_unix_fd_list_steal_fds(list, &n) : NULL;

  for (gint i = 1; i < n; i++) {
    gem_descriptors_close(fds[i]);
  }
  return n > 0 ? fds[0] : -1;
}

/* The signature of the arguments that a method of Manager takes, if one of them is a descriptor; NULL: none
 * is, or there is no such method. */
static char *
descriptor_signature(const char *method)
{
  const GDBusMethodInfo *info =
      g_dbus_interface_info_lookup_method(gem_dbus_manager_interface_info(), method);
  g_autoptr(GString) signature = g_string_new(NULL);

  for (guint i = 0; info != NULL && info->in_args != NULL && info->in_args[i] != NULL; i++) {
    g_string_append(signature, info->in_args[i]->signature);
  }
  return strchr(signature->str, 'h') != NULL ? g_string_free(g_steal_pointer(&signature), FALSE) : NULL;
}

/* Whether the message is a call that GDBus hands to a method which takes a descriptor, as it stands. All else
 * it drops by itself, on its own thread, with what came with it: a wrong signature, a signal, a call of a
 * method that is not there. Objects other than Manager have no such method. */
static gboolean
takes_one(GDBusMessage *message)
{
  const char *method = g_dbus_message_get_member(message);
  g_autofree char *signature = NULL;

  if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL || method == NULL ||
      g_strcmp0(g_dbus_message_get_path(message), GEM_OBJECT_PATH) != 0 ||
      g_strcmp0(g_dbus_message_get_interface(message), GEM_MANAGER_INTERFACE) != 0) {
    return FALSE;
  }
  signature = descriptor_signature(method);
  return signature != NULL && g_strcmp0(g_dbus_message_get_signature(message), signature) == 0;
}

/* On GDBus's own thread, before the message is dispatched. Replies are to calls of the service's own. */
static GDBusMessage *
on_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  GDBusMessageType type = g_dbus_message_get_message_type(message);
  gboolean asked = type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR;
  GUnixFDList *list = incoming && !asked ? g_dbus_message_get_unix_fd_list(message) : NULL;

  if (list != NULL && !(takes_one(message) && g_unix_fd_list_get_length(list) == 1)) {
    gem_descriptors_close(gem_descriptors_take(message));
  }
  return message;
}

guint
gem_descriptors_guard(GDBusConnection *connection)
{
  return g_dbus_connection_add_filter(connection, on_message, NULL, NULL);
}
