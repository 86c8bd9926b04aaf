/* What the parts of the stand-in share: gem-test-service.c, -turn.c, -load.c. */
#pragma once

#include "dbus/gem-dbus-generated.h"
#include "tests/gem-test-service.h"

struct _GemTestService {
  GTestDBus *bus;
  GDBusConnection *connection;
  GDBusObjectManagerServer *objects;
  GemDBusManager *manager;
  GemDBusSession *session;
  GemDBusPathway *legal;
  guint name;
  char *text;
  GVariant *options;
  GString *session_domains;
  guint cancels;
  guint n_turns;
  GemTestFault fault;
  guint n_asks, fault_after;
  GArray *held;       /* of int: writing ends of pipes that are not closed, by fault */
  gboolean secretive; /* Stats is refused */
  gboolean endless;
  guint endless_after;           /* turns */
  guint sessions, most_sessions; /* open ones; most_sessions 0: any number */
};

/* What is wrong with number `n` of its kind. */
GemTestFault
gem_test_service_fault_of(const GemTestService *self, guint n);
/* Keeps what came, and fails the call when its text says so. */
gboolean
gem_test_service_take_text(GemTestService *self,
                           GDBusMethodInvocation *invocation,
                           const char *text,
                           GVariant *options);
/* a(sttsa{sd}) and a{sv}, floating. */
GVariant *
gem_test_service_make_tokens(void);
GVariant *
gem_test_service_make_stats(guint generated);

/* ---- handlers of the parts; `data` is the stand-in ---- */

gboolean
gem_test_service_on_generate(GemDBusSession *session,
                             GDBusMethodInvocation *invocation,
                             GUnixFDList *descriptors,
                             const char *prompt,
                             GVariant *options,
                             gpointer data);
gboolean
gem_test_service_on_close(GemDBusSession *session, GDBusMethodInvocation *invocation, gpointer data);
gboolean
gem_test_service_on_load_model(GemDBusManager *manager,
                               GDBusMethodInvocation *invocation,
                               const char *name,
                               GVariant *options,
                               gpointer data);
