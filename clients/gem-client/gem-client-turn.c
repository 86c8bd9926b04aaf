#include "clients/gem-client/gem-client-turn.h"

#include <gio/gunixfdlist.h>
#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <signal.h>

#include "dbus/gem-names.h"

/* How long the service may take to say Finished after a cancel, or after the end of the text. */
#define FINISH_SECONDS 5

struct _GemTurn {
  GemRemote *remote;
  GCancellable *reading;
  char *request; /* NULL until Generate answered */
  GInputStream *stream;
  GemTurnText text;
  GemTurnEnded ended;
  gpointer data;
  guint subscription, watch;
  GVariantBuilder routes;
  GemTurnResult result;
  GError *error;
  gboolean at_end;   /* of the pipe */
  gboolean finished; /* the signal came */
  gboolean over;     /* `ended` was called */
  guint deadline;
};

static void
read_more(GemTurn *turn);

void
gem_turn_result_clear(GemTurnResult *result)
{
  g_clear_pointer(&result->stats, g_variant_unref);
  g_clear_pointer(&result->routes, g_variant_unref);
}

static void
end(GemTurn *turn)
{
  if (!turn->over) {
    turn->over = TRUE;
    g_clear_handle_id(&turn->deadline, g_source_remove);
    turn->ended(turn->data);
  }
}

static void
end_when_complete(GemTurn *turn)
{
  if (turn->finished && turn->at_end) {
    end(turn);
  }
}

static void
fail(GemTurn *turn, GError *error)
{
  if (turn->error == NULL) {
    turn->error = error;
  } else {
    g_error_free(error);
  }
  end(turn);
}

static gboolean
on_deadline(gpointer data)
{
  GemTurn *turn = data;

  turn->deadline = 0; /* it is gone once this returns */
  if (turn->result.interrupted) {
    end(turn);
  } else {
    fail(turn, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                   "the text ended, but the service did not say why"));
  }
  return G_SOURCE_REMOVE;
}

static void
set_deadline(GemTurn *turn)
{
  if (turn->deadline == 0) {
    turn->deadline = g_timeout_add_seconds(FINISH_SECONDS, on_deadline, turn);
  }
}

/* Nothing waits for the reply: Finished comes. */
static void
cancel_request(GemTurn *turn)
{
  g_dbus_connection_call(turn->remote->bus, turn->remote->owner, turn->request, GEM_REQUEST_INTERFACE,
                         "Cancel", NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
  set_deadline(turn);
}

static void
on_read(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = g_input_stream_read_bytes_finish(G_INPUT_STREAM(source), result, &error);
  GemTurn *turn;
  gsize length;
  const char *text;

  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return; /* the turn is gone */
  }
  turn = data;
  if (bytes == NULL) {
    fail(turn, g_steal_pointer(&error));
    return;
  }
  text = g_bytes_get_data(bytes, &length);
  if (length == 0) {
    turn->at_end = TRUE;
    set_deadline(turn);
    end_when_complete(turn);
    return;
  }
  if (!turn->text(text, length, turn->data)) {
    cancel_request(turn);
    turn->at_end = TRUE;
    end_when_complete(turn);
    return;
  }
  read_more(turn);
}

static void
read_more(GemTurn *turn)
{
  g_input_stream_read_bytes_async(turn->stream, 4096, G_PRIORITY_DEFAULT, turn->reading, on_read, turn);
}

static void
take_routes(GemTurn *turn, GVariant *parameters)
{
  g_autoptr(GVariant) tokens = NULL;
  gsize i;

  if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(a(sttsa{sd}))"))) {
    return;
  }
  tokens = g_variant_get_child_value(parameters, 0);
  for (i = 0; i < g_variant_n_children(tokens); i++) {
    g_autoptr(GVariant) token = g_variant_get_child_value(tokens, i);

    g_variant_builder_add_value(&turn->routes, token);
  }
}

/* Signals of a request come to its caller alone; those of another turn on this connection are not for this
 * one. */
static void
on_signal(GDBusConnection *bus,
          const char *sender,
          const char *path,
          const char *interface,
          const char *name,
          GVariant *parameters,
          gpointer data)
{
  GemTurn *turn = data;

  if (g_strcmp0(path, turn->request) != 0) {
    return;
  }
  if (g_str_equal(name, "Routed")) {
    take_routes(turn, parameters);
  } else if (g_str_equal(name, "Finished") && !turn->finished &&
             g_variant_is_of_type(parameters, G_VARIANT_TYPE("(ua{sv})"))) {
    turn->finished = TRUE;
    g_variant_get(parameters, "(u@a{sv})", &turn->result.reason, &turn->result.stats);
    end_when_complete(turn);
  }
}

static void
on_vanished(GDBusConnection *bus, const char *name, gpointer data)
{
  GemTurn *turn = data;

  if (!turn->finished) {
    fail(turn, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CLOSED, "the service went away in mid-answer"));
  }
}

static gboolean
generate(GemTurn *turn, const char *session, const char *prompt, GVariant *options, GError **error)
{
  g_autoptr(GUnixFDList) descriptors = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_with_unix_fd_list_sync(
      turn->remote->bus, turn->remote->owner, session, GEM_SESSION_INTERFACE, "Generate",
      g_variant_new("(s@a{sv})", prompt, options), G_VARIANT_TYPE("(oha{sv})"), G_DBUS_CALL_FLAGS_NONE,
      G_MAXINT, NULL, &descriptors, NULL, error);
  gint32 handle;
  gint fd;

  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(oh@a{sv})", &turn->request, &handle, NULL);
  if (descriptors == NULL) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the service sent no pipe");
    return FALSE;
  }
  fd = g_unix_fd_list_get(descriptors, handle, error);
  if (fd < 0) {
    return FALSE;
  }
  turn->stream = g_unix_input_stream_new(fd, TRUE);
  return TRUE;
}

/* ---- one turn among several ---- */

void
gem_turn_free(GemTurn *turn)
{
  g_cancellable_cancel(turn->reading);
  g_clear_handle_id(&turn->watch, g_bus_unwatch_name);
  g_clear_handle_id(&turn->deadline, g_source_remove);
  g_dbus_connection_signal_unsubscribe(turn->remote->bus, turn->subscription);
  g_clear_object(&turn->stream);
  g_clear_object(&turn->reading);
  g_clear_pointer(&turn->request, g_free);
  g_clear_error(&turn->error);
  gem_turn_result_clear(&turn->result);
  g_variant_builder_clear(&turn->routes);
  g_free(turn);
}

GemTurn *
gem_turn_begin(GemRemote *remote,
               const char *session,
               const char *prompt,
               GVariant *options,
               GemTurnText text,
               GemTurnEnded ended,
               gpointer data,
               GError **error)
{
  g_autoptr(GemTurn) turn = g_new0(GemTurn, 1);

  turn->remote = remote;
  turn->reading = g_cancellable_new();
  turn->text = text;
  turn->ended = ended;
  turn->data = data;
  g_variant_builder_init(&turn->routes, G_VARIANT_TYPE("a(sttsa{sd})"));
  /* Before the call: the first signals may be here before its reply is looked at. */
  turn->subscription =
      g_dbus_connection_signal_subscribe(remote->bus, remote->owner, GEM_REQUEST_INTERFACE, NULL, NULL, NULL,
                                         G_DBUS_SIGNAL_FLAGS_NONE, on_signal, turn, NULL);
  if (!generate(turn, session, prompt, options, error)) {
    return NULL;
  }
  turn->watch = g_bus_watch_name_on_connection(remote->bus, remote->owner, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                               NULL, on_vanished, turn, NULL);
  read_more(turn);
  return g_steal_pointer(&turn);
}

void
gem_turn_cancel(GemTurn *turn)
{
  cancel_request(turn);
}

gboolean
gem_turn_finish(GemTurn *turn, GemTurnResult *ret_result, GError **error)
{
  if (turn->error != NULL && !turn->result.interrupted) {
    g_propagate_error(error, g_steal_pointer(&turn->error));
    return FALSE;
  }
  turn->result.routes = g_variant_ref_sink(g_variant_builder_end(&turn->routes));
  *ret_result = turn->result;
  turn->result = (GemTurnResult){0};
  return TRUE;
}

/* ---- the only turn ---- */

/* What `text` and `ended` of the only turn get. */
typedef struct {
  GMainLoop *loop;
  GemTurnText text;
  gpointer data;
} Only;

static gboolean
pass_text(const char *bytes, gsize length, gpointer data)
{
  const Only *only = data;

  return only->text(bytes, length, only->data);
}

static void
quit_loop(gpointer data)
{
  g_main_loop_quit(((Only *)data)->loop);
}

/* The first Ctrl-C cancels, the second does not wait. */
static gboolean
on_interrupt(gpointer data)
{
  GemTurn *turn = data;

  if (turn->result.interrupted) {
    end(turn);
  } else {
    turn->result.interrupted = TRUE;
    cancel_request(turn);
  }
  return G_SOURCE_CONTINUE;
}

gboolean
gem_turn_run(GemRemote *remote,
             const char *session,
             const char *prompt,
             GVariant *options,
             GemTurnText text,
             gpointer data,
             GemTurnResult *ret_result,
             GError **error)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  Only only = {.loop = loop, .text = text, .data = data};
  g_autoptr(GemTurn) turn =
      gem_turn_begin(remote, session, prompt, options, pass_text, quit_loop, &only, error);
  guint interrupt;

  if (turn == NULL) {
    return FALSE;
  }
  interrupt = g_unix_signal_add(SIGINT, on_interrupt, turn);
  g_main_loop_run(loop);
  g_source_remove(interrupt);
  return gem_turn_finish(turn, ret_result, error);
}
