#include "bench/bus/gem-bench-calls.h"

#include <glib-unix.h>
#include <signal.h>

#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

typedef struct {
  GemRemote *remote;
  const GemBenchCalls *calls;
  gpointer data;
  GemBenchProgress *progress;
  GCancellable *stopped;
  guint interrupt; /* source; 0: it came */
  guint next, in_flight;
  GError *error; /* the first that is no refusal */
} Run;

typedef struct {
  Run *run;
  guint index;
} Call;

static gboolean
is_refusal(const GError *error)
{
  return g_error_matches(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT) ||
         g_error_matches(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED);
}

static void
on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Call *call = data;
  Run *run = call->run;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

  run->in_flight--;
  if (run->error != NULL) {
    return;
  }
  if (reply == NULL && !is_refusal(error)) {
    run->error = g_steal_pointer(&error);
    g_cancellable_cancel(run->stopped);
    return;
  }
  run->calls->answered(call->index, reply, error, run->data);
  gem_bench_progress_step(run->progress, run->calls->name(call->index, run->data));
}

static void
start_next(Run *run)
{
  Call *call = g_new0(Call, 1);

  call->run = run;
  call->index = run->next++;
  run->in_flight++;
  g_dbus_connection_call(run->remote->bus, run->remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                         run->calls->method, run->calls->arguments(call->index, run->data),
                         G_VARIANT_TYPE(run->calls->reply_type), G_DBUS_CALL_FLAGS_NONE, G_MAXINT,
                         run->stopped, on_reply, call);
}

/* Once: the second Ctrl-C ends the process, in case an answer never comes. */
static gboolean
on_interrupt(gpointer data)
{
  Run *run = data;

  run->interrupt = 0;
  if (run->error == NULL) {
    g_set_error(&run->error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped with %u of %u questions left",
                run->calls->n - run->next + run->in_flight, run->calls->n);
  }
  g_cancellable_cancel(run->stopped);
  return G_SOURCE_REMOVE;
}

gboolean
gem_bench_calls_run(GemRemote *remote, const GemBenchCalls *calls, gpointer data, GError **error)
{
  g_autoptr(GemBenchProgress) progress = gem_bench_progress_new(calls->n);
  g_autoptr(GCancellable) stopped = g_cancellable_new();
  Run run = {.remote = remote, .calls = calls, .data = data, .progress = progress, .stopped = stopped};

  run.interrupt = g_unix_signal_add(SIGINT, on_interrupt, &run);
  do {
    while (run.error == NULL && run.next < calls->n && run.in_flight < GEM_BENCH_IN_FLIGHT) {
      start_next(&run);
    }
    if (run.in_flight > 0) {
      g_main_context_iteration(NULL, TRUE);
    }
  } while (run.in_flight > 0 || (run.error == NULL && run.next < calls->n));
  g_clear_handle_id(&run.interrupt, g_source_remove);
  if (run.error != NULL) {
    g_propagate_error(error, run.error);
    return FALSE;
  }
  return TRUE;
}
