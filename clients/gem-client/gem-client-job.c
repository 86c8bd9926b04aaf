#include "clients/gem-client/gem-client-job.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

typedef struct {
  GemRemote *remote;
  GMainLoop *loop;
  const char *doing;
  char *job; /* its path; NULL until the method answered */
  GemJobResult *result;
  double progress;
  char *phase;
  gboolean shows_progress; /* on a terminal */
} Follow;

void
gem_job_result_clear(GemJobResult *result)
{
  g_free(result->result);
  g_clear_pointer(&result->details, g_variant_unref);
  g_clear_error(&result->error);
}

static void
show_progress(Follow *follow, GVariant *changed)
{
  const char *phase = NULL;

  g_variant_lookup(changed, "Progress", "d", &follow->progress);
  if (g_variant_lookup(changed, "Phase", "&s", &phase)) {
    g_free(follow->phase);
    follow->phase = g_strdup(phase);
  }
  if (follow->shows_progress) {
    /* To the end of the line: the phase before may have been longer. */
    g_printerr("\rgem-client: %s, %3.0f %% %s\033[K", follow->doing, follow->progress * 100,
               follow->phase != NULL ? follow->phase : "");
  }
}

static void
on_signal(GDBusConnection *bus,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer data)
{
  Follow *follow = data;
  g_autoptr(GVariant) changed = NULL;

  if (g_strcmp0(path, follow->job) != 0) {
    return;
  }
  if (g_str_equal(signal, "PropertiesChanged") &&
      g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv}as)"))) {
    changed = g_variant_get_child_value(parameters, 1);
    show_progress(follow, changed);
  } else if (g_str_equal(signal, "Completed") && follow->result->result == NULL &&
             g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sa{sv})"))) {
    g_variant_get(parameters, "(s@a{sv})", &follow->result->result, &follow->result->details);
    g_main_loop_quit(follow->loop);
  }
}

/* Before there is a job the answer to the call says so, and whether it was taken. */
static void
on_vanished(GDBusConnection *bus, const char *name, gpointer data)
{
  Follow *follow = data;

  if (follow->job != NULL) {
    follow->result->gone = TRUE;
    g_main_loop_quit(follow->loop);
  }
}

static void
give_up(const Follow *follow)
{
  g_dbus_connection_call(follow->remote->bus, follow->remote->owner, follow->job, GEM_JOB_INTERFACE, "Cancel",
                         NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}

/* The first asks the service to give it up and waits for the word; a second one does not wait. */
static gboolean
on_interrupt(gpointer data)
{
  Follow *follow = data;

  if (follow->result->interrupted) {
    g_main_loop_quit(follow->loop);
  } else if (follow->job != NULL) {
    give_up(follow);
  }
  follow->result->interrupted = TRUE;
  return G_SOURCE_CONTINUE;
}

/* There is a job now; or there is none, and why. */
static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  Follow *follow = data;
  g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish(G_DBUS_CONNECTION(source), NULL,
                                                                              result, &follow->result->error);

  if (reply == NULL) {
    g_main_loop_quit(follow->loop);
    return;
  }
  g_variant_get(reply, "(o)", &follow->job);
  if (follow->result->interrupted) {
    give_up(follow);
  }
}

/* Calls the service that was found, and follows the job to its end. */
static void
follow_run(Follow *self, const char *method, GVariant *arguments, GUnixFDList *descriptors)
{
  GemRemote *remote = self->remote;
  guint subscription = g_dbus_connection_signal_subscribe(remote->bus, remote->owner, NULL, NULL, NULL, NULL,
                                                          G_DBUS_SIGNAL_FLAGS_NONE, on_signal, self, NULL);
  guint watch = g_bus_watch_name_on_connection(remote->bus, remote->owner, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                               NULL, on_vanished, self, NULL);

  g_dbus_connection_call_with_unix_fd_list(remote->bus, remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                                           method, arguments, G_VARIANT_TYPE("(o)"),
                                           G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, G_MAXINT,
                                           descriptors, NULL, on_answer, self);
  g_main_loop_run(self->loop);
  g_bus_unwatch_name(watch);
  g_dbus_connection_signal_unsubscribe(remote->bus, subscription);
}

void
gem_job_run(GemRemote *remote,
            const char *doing,
            const char *method,
            GVariant *arguments,
            GUnixFDList *descriptors,
            GemJobResult *ret_result)
{
  g_autoptr(GVariant) kept = g_variant_ref_sink(arguments);
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  Follow follow = {remote, loop, doing, .result = ret_result, .shows_progress = isatty(STDERR_FILENO) != 0};
  guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, &follow);

  *ret_result = (GemJobResult){0};
  follow_run(&follow, method, kept, descriptors);
  if (ret_result->error != NULL && !ret_result->interrupted &&
      gem_remote_find_successor(remote, ret_result->error)) {
    g_clear_error(&ret_result->error);
    follow_run(&follow, method, kept, descriptors);
  }
  g_source_remove(interrupt);
  if (follow.shows_progress && follow.job != NULL) {
    g_printerr("\n");
  }
  g_free(follow.job);
  g_free(follow.phase);
}

GemExit
gem_job_complain(const GemJobResult *result, const GemJobWords *words)
{
  g_autoptr(GError) error = NULL;
  const char *name = "", *message = "";

  if (result->error != NULL) {
    return gem_run_options_report(result->error);
  }
  if (result->interrupted && result->result == NULL && !result->gone) {
    gem_output_complain(
        "not waited for: the service was asked to give it up, and has not said what became of "
        "it; see %s",
        words->told_by);
    return GEM_EXIT_INTERRUPTED;
  }
  if (result->interrupted && g_strcmp0(result->result, "cancelled") == 0) {
    gem_output_complain("%s", words->given_up);
    return GEM_EXIT_INTERRUPTED;
  }
  if (result->result == NULL) {
    gem_output_complain("%s", words->gone);
    return GEM_EXIT_UNREACHABLE;
  }
  if (g_str_equal(result->result, "cancelled")) {
    gem_output_complain("%s", words->cancelled);
    return GEM_EXIT_FAILED;
  }
  g_variant_lookup(result->details, "error", "&s", &name);
  g_variant_lookup(result->details, "message", "&s", &message);
  error = g_dbus_error_new_for_dbus_error(name, message);
  return gem_run_options_report(error);
}
