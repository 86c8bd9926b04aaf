/* Turns of the stand-in, and what they may do wrong. */
#include "tests/gem-test-service-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "dbus/gem-names.h"

typedef struct {
  GemTestService *service;
  GemDBusRequest *request;
  char *caller;
  int pipe; /* its writing end */
  char *answer;
  gsize written;
  guint reason;
  gboolean endless, silent, vanish, changed;
  GemTestFault fault;
} Turn;

static void
turn_free(Turn *turn)
{
  if (turn->pipe >= 0) {
    close(turn->pipe);
  }
  g_free(turn->answer);
  g_free(turn->caller);
  g_object_unref(turn->request);
  g_free(turn);
}

static void
emit(Turn *turn, const char *signal, GVariant *parameters)
{
  const char *path = g_dbus_interface_skeleton_get_object_path(G_DBUS_INTERFACE_SKELETON(turn->request));

  g_dbus_connection_emit_signal(turn->service->connection, turn->caller, path, GEM_REQUEST_INTERFACE, signal,
                                parameters, NULL);
}

/* Only those of a turn that failed, or that another model ended, say why. */
static GVariant *
make_turn_stats(const Turn *turn)
{
  g_autoptr(GVariant) all = g_variant_ref_sink(gem_test_service_make_stats(5));
  GVariantDict stats;

  g_variant_dict_init(&stats, all);
  if (turn->changed) {
    g_variant_dict_insert(&stats, "error", "s", "org.gemd.Gem1.Error.ModelChanged");
    g_variant_dict_insert(&stats, "message", "s", "another model is served");
  } else if (turn->reason != 6) {
    g_variant_dict_remove(&stats, "error");
    g_variant_dict_remove(&stats, "message");
  }
  return g_variant_dict_end(&stats);
}

static void
finish_turn(Turn *turn)
{
  if (turn->fault == GEM_TEST_FAULT_NO_END) {
    g_array_append_val(turn->service->held, turn->pipe);
  } else {
    close(turn->pipe);
  }
  turn->pipe = -1;
  if (turn->vanish) {
    gem_test_service_leave(turn->service);
    return;
  }
  emit(turn, "Routed", g_variant_new("(@a(sttsa{sd}))", gem_test_service_make_tokens()));
  if (turn->fault != GEM_TEST_FAULT_FINISHED) {
    emit(turn, "Finished", g_variant_new("(u@a{sv})", turn->reason, make_turn_stats(turn)));
  }
  if (turn->fault == GEM_TEST_FAULT_TWICE) {
    emit(turn, "Finished", g_variant_new("(u@a{sv})", turn->reason, make_turn_stats(turn)));
  }
  g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(turn->request));
}

/* A byte at a time, so that characters come apart. */
static gboolean
write_some(gpointer data)
{
  Turn *turn = data;

  if (turn->pipe < 0) {
    return G_SOURCE_REMOVE;
  }
  if (turn->silent) {
    return G_SOURCE_CONTINUE;
  }
  if (turn->endless) {
    return write(turn->pipe, "la ", 3) > 0 || errno == EAGAIN;
  }
  if (turn->answer[turn->written] != '\0') {
    if (write(turn->pipe, turn->answer + turn->written, 1) == 1) {
      turn->written++;
      return G_SOURCE_CONTINUE;
    }
    g_assert_cmpint(errno, ==, EPIPE);
    turn->reason = 4;
  }
  finish_turn(turn);
  return G_SOURCE_REMOVE;
}

static gboolean
on_cancel(GemDBusRequest *request, GDBusMethodInvocation *invocation, gpointer data)
{
  Turn *turn = data;

  turn->service->cancels++;
  gem_dbus_request_complete_cancel(request, invocation);
  if (!turn->silent && turn->pipe >= 0) {
    turn->reason = 4;
    finish_turn(turn);
  }
  return TRUE;
}

static Turn *
turn_new(GemTestService *self, const char *prompt, const char *caller, const char *path)
{
  Turn *turn = g_new0(Turn, 1);

  turn->service = self;
  turn->caller = g_strdup(caller);
  turn->endless = g_str_equal(prompt, "endless") || (self->endless && self->n_turns >= self->endless_after);
  turn->silent = g_str_equal(prompt, "silent");
  turn->vanish = g_str_equal(prompt, "vanish");
  turn->changed = g_str_equal(prompt, "changed");
  turn->fault = gem_test_service_fault_of(self, self->n_turns++);
  turn->answer = g_strdup(turn->fault == GEM_TEST_FAULT_TEXT ? "patr"
                          : g_str_has_prefix(prompt, "say ") ? prompt + strlen("say ")
                                                             : "part");
  turn->reason = turn->fault == GEM_TEST_FAULT_REASON  ? 6
                 : turn->changed                       ? 5
                 : g_str_has_prefix(prompt, "reason ") ? (guint)atoi(prompt + strlen("reason "))
                                                       : 0;
  turn->request = gem_dbus_request_skeleton_new();
  g_signal_connect(turn->request, "handle-cancel", G_CALLBACK(on_cancel), turn);
  g_assert_true(g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(turn->request), self->connection,
                                                 path, NULL));
  return turn;
}

/* As the caller's token has it, where there is one. */
static char *
turn_path(GemTestService *self, GDBusMethodInvocation *invocation, GVariant *options)
{
  g_autofree char *sender =
      g_strdelimit(g_strdup(g_dbus_method_invocation_get_sender(invocation) + 1), ".", '_');
  const char *token = NULL;

  if (g_variant_lookup(options, "handle_token", "&s", &token)) {
    return g_strdup_printf("%s/%s_%s", GEM_REQUEST_PATH, sender, token);
  }
  return g_strdup_printf("%s/test/turn%u", GEM_REQUEST_PATH, self->n_turns);
}

gboolean
gem_test_service_on_generate(GemDBusSession *session,
                             GDBusMethodInvocation *invocation,
                             GUnixFDList *descriptors,
                             const char *prompt,
                             GVariant *options,
                             gpointer data)
{
  GemTestService *self = data;
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
  g_autofree char *path = turn_path(self, invocation, options);
  int ends[2];
  Turn *turn;

  if (!gem_test_service_take_text(self, invocation, prompt, options)) {
    return TRUE;
  }
  g_assert_true(g_unix_open_pipe(ends, FD_CLOEXEC, NULL));
  g_assert_true(g_unix_set_fd_nonblocking(ends[1], TRUE, NULL));
  g_assert_cmpint(g_unix_fd_list_append(list, ends[0], NULL), ==, 0);
  close(ends[0]);
  turn = turn_new(self, prompt, g_dbus_method_invocation_get_sender(invocation), path);
  turn->pipe = ends[1];
  gem_dbus_session_complete_generate(session, invocation, list, path, g_variant_new_handle(0),
                                     g_variant_new_parsed("@a{sv} {}"));
  g_timeout_add_full(G_PRIORITY_DEFAULT, 1, write_some, turn, (GDestroyNotify)turn_free);
  return TRUE;
}

gboolean
gem_test_service_on_close(GemDBusSession *session, GDBusMethodInvocation *invocation, gpointer data)
{
  GemTestService *self = data;

  self->sessions--;
  gem_dbus_session_complete_close(session, invocation);
  return TRUE;
}
