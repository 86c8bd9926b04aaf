/*
 * Who calls: one GemCaller for each connection (unique name) that called, until it leaves the bus, and one
 * GemUser for each uid among them. A caller that had left before it was heard of is found out when the bus is
 * asked who it is. All on the main loop.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/bus/gem-quota.h"

/* The queues whose calls work in the engine: each counts its own. */
typedef enum { GEM_QUEUE_CALLS, GEM_QUEUE_ASKS, GEM_QUEUE_N_KINDS } GemQueueKind;

/* What all connections of one uid have in use. Lives as long as any of them, and as long as anything is in
 * use after that; then it goes some time later, unless the GemCallers goes first. */
typedef struct {
  guint32 uid;
  GemQuotaUse use;                  /* see gem_user_hold */
  GemQuotaUse *all;                 /* of all users together */
  guint running[GEM_QUEUE_N_KINDS]; /* calls at work in the engine, see gem-call-queue.h */

  /*< private >*/
  guint callers; /* that there are, those that are gone and still referred to included */
  guint here;    /* those that are not gone */
} GemUser;

typedef struct _GemCallers GemCallers;

/* `bye` is never handed to a call over the bus, which has a cancellable of its own (gem-authorize.c): when
 * the answer comes while handlers run, GDBus's thread holds the connection's lock and waits until they are
 * through, so that none of them could send anything. `gone` is set before. */
typedef struct {
  char *sender;                     /* unique name, such as ":1.42" */
  char *mangled;                    /* the same as an element of an object path: "1_42" */
  GemUser *user;                    /* NULL until identified */
  gboolean gone;                    /* left the bus, or could not be identified */
  GCancellable *bye;                /* cancelled when it leaves the bus; see above */
  guint calls;                      /* that wait for their answer */
  guint running[GEM_QUEUE_N_KINDS]; /* calls at work in the engine */

  /*< private >*/
  GemCallers *callers;
  gboolean identifying;
  GPtrArray *waiting; /* of Waiting */
} GemCaller;

GemCallers *
gem_callers_new(GDBusConnection *connection);
/* Everyone is treated as gone. */
void
gem_callers_free(GemCallers *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemCallers, gem_callers_free)

/* The caller of that unique name, borrowed: valid until it leaves the bus, so hold a reference across an
 * asynchronous step. */
GemCaller *
gem_callers_get(GemCallers *self, const char *sender);
GemCaller *
gem_caller_ref(GemCaller *self);
void
gem_caller_unref(GemCaller *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemCaller, gem_caller_unref)

/* Calls `done` when the bus said whose connection it is; at once when that is known. Afterwards either
 * `user` is set or `gone` is. */
typedef void (*GemCallerIdentified)(GemCaller *self, gpointer data);
void
gem_caller_identify(GemCaller *self, GemCallerIdentified done, gpointer data);

/* What all users have in use together. */
const GemQuotaUse *
gem_callers_get_use(const GemCallers *self);
/* Users of whom anything is known. */
guint
gem_callers_count_users(const GemCallers *self);
/* A hold that takes from what the user may have. */
GemQuotaHold
gem_user_hold(GemUser *self, const GemConfig *config);
