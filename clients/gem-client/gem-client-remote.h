/* The service, as gem-client reaches it: a connection to a bus, and calls to whoever owns org.gemd.Gem1
 * there. */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-verb.h"

typedef struct {
  GDBusConnection *bus;
  char *owner; /* unique name of the service; NULL until it was found */
  gint64
      deadline; /* monotonic: no call waits for much longer than that; 0: each for as long as it is wont to */
} GemRemote;

void
gem_remote_free(GemRemote *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRemote, gem_remote_free)

/* Connects to the bus that `options` name. Errors: G_DBUS_ERROR_NO_SERVER. */
GemRemote *
gem_remote_new(const GemVerbOptions *options, GError **error);

/* Finds the owner of the name, starting the service when the bus can. The unique name is spoken to from then
 * on, so that a turn never goes on with another process. Errors: of the bus. */
gboolean
gem_remote_find(GemRemote *self, GError **error);

/* A service that was idle may have given its name away since it was found: then there is, or will be,
 * another, and a system bus denies calls to the one without the name. One that is told to stop keeps it until
 * the end. Whether a call that failed with `error` was not taken for that reason, and another service is
 * found. */
gboolean
gem_remote_find_successor(GemRemote *self, const GError *error);

/* The connection, and the service. */
GemRemote *
gem_remote_open(const GemVerbOptions *options, GError **error);

/* A call that waits for its reply for as long as it takes; Ctrl-C ends it, and the service drops the work of
 * a caller that has left. `arguments` may be floating; `reply_type` such as "(s)". Transfer full. */
GVariant *
gem_remote_call(GemRemote *self,
                const char *path,
                const char *interface,
                const char *method,
                GVariant *arguments,
                const char *reply_type,
                GError **error);

/* The same on the Manager, for the first call of a verb, as the ones below are: when the service has ended
 * since it was found, being idle, its successor is called. */
GVariant *
gem_remote_call_manager(
    GemRemote *self, const char *method, GVariant *arguments, const char *reply_type, GError **error);

/* The same, later, and nobody is asked for a password. It waits for 25 s, as the next ones do. */
GVariant *
gem_remote_call_unattended(
    GemRemote *self, const char *method, GVariant *arguments, const char *reply_type, GError **error);

/* All properties of an interface: a dictionary a{sv}. Transfer full. */
GVariant *
gem_remote_get_properties(GemRemote *self, const char *path, const char *interface, GError **error);

/* The service's objects: a{oa{sa{sv}}}, as of org.freedesktop.DBus.ObjectManager. Transfer full. */
GVariant *
gem_remote_get_objects(GemRemote *self, GError **error);
