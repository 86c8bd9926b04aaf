/*
 * A private bus under the rules of a system bus, with the installed bus policy, and a daemon on it; and what
 * a client of it does. Everything fails the test that fails. Calls block; the daemon is another process.
 */
#pragma once

#include <gio/gio.h>

#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

typedef struct {
  char *dir; /* temporary: the bus's socket and what the test puts there */
  char *address;
  GSubprocess *bus;
  GSubprocess *daemon; /* NULL: not started */
  char *config_text;   /* of gemd.conf; NULL: none */
  gboolean real;       /* the daemon is gemd, not fake-gemd */
  GStrv daemon_arguments;
  GStrv daemon_environment; /* NAME=value */
  gboolean pipe_log;        /* all that the daemon writes goes to its stdout pipe */
  gboolean guarded;         /* without --development: no debugger, no leak checker */
} GemTestBus;

GemTestBus *
gem_test_bus_new(void);
/* Ends the daemon with SIGTERM, which it must obey, and then the bus. */
void
gem_test_bus_free(GemTestBus *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestBus, gem_test_bus_free)

/* The bus, with fake-gemd on /fake/ok, ready. */
GemTestBus *
gem_test_bus_new_with_daemon(void);

/* The same, with these keys of gemd.conf, a line each. */
GemTestBus *
gem_test_bus_new_with_config(const char *config);

/* Starts it on `model` (NULL: what its gemd.conf says); does not wait. */
void
gem_test_bus_spawn(GemTestBus *self, const char *model);
/* Its gemd.conf has these keys now, a line each, and it is told to read it again; does not wait. */
void
gem_test_bus_reload(GemTestBus *self, const char *config);
/* Waits until the name is owned. */
void
gem_test_bus_wait_name(GemTestBus *self);
/* Waits until ModelState is no longer `loading`, and gives it. */
char *
gem_test_bus_wait_settled(GemTestBus *self);
/* Waits for the end of a daemon; its exit status, -1 for a signal. */
int
gem_test_bus_wait_exit(GemTestBus *self);
/* Ends a daemon that pipes its log with SIGTERM, which it must obey: all that it wrote. */
char *
gem_test_bus_end_log(GemTestBus *self);

/* A connection of its own. */
GDBusConnection *
gem_test_bus_connect(GemTestBus *self);

/* `parameters` is floating. NULL: `error` is set, stripped of the remote's prefix. */
GVariant *
gem_test_call(GDBusConnection *connection,
              const char *path,
              const char *interface,
              const char *method,
              GVariant *parameters,
              GError **error);
/* Manager's method; must succeed. */
GVariant *
gem_test_manager(GDBusConnection *connection, const char *method, GVariant *parameters);
/* Manager's method; must fail with `code` and a message that matches `pattern`. */
void
gem_test_manager_fails(GDBusConnection *connection,
                       const char *method,
                       GVariant *parameters,
                       GemError code,
                       const char *pattern);
void
gem_test_error_is(const GError *error, GemError code, const char *pattern);
/* Boxed value of a property; must succeed. */
GVariant *
gem_test_get(GDBusConnection *connection, const char *path, const char *interface, const char *property);

/* An a{sv} from GVariant's text format: "{'seed': <uint64 1>}". Floating. */
GVariant *
gem_test_options(const char *text);

/* Path of a new session. */
char *
gem_test_create_session(GDBusConnection *connection);

/* ---- turns ---- */

/* What a connection heard of its requests. */
typedef struct {
  GDBusConnection *connection;
  guint subscription;
  guint finished;    /* signals */
  guint32 reason;    /* of the last */
  GVariant *stats;   /* of the last */
  char *path;        /* of the last */
  GPtrArray *routes; /* of GVariant, rows */
} GemTestEar;

GemTestEar *
gem_test_ear_new(GDBusConnection *connection);
void
gem_test_ear_free(GemTestEar *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestEar, gem_test_ear_free)
/* Runs the main loop until `finished` signals came in all; fails after 20 s. */
void
gem_test_ear_wait(GemTestEar *self, guint finished);
/* Runs the main loop for that long. */
void
gem_test_run_for(guint milliseconds);

/* Generate; must succeed. The reading end of the stream; the path goes to `ret_request` (may be NULL). */
int
gem_test_generate(GDBusConnection *connection,
                  const char *session,
                  const char *prompt,
                  const char *options,
                  char **ret_request);
/* Generate; must fail. */
void
gem_test_generate_fails(GDBusConnection *connection,
                        const char *session,
                        const char *prompt,
                        const char *options,
                        GemError code,
                        const char *pattern);
/* Reads up to the end of file and closes. */
char *
gem_test_read_all(int fd);
