#include "bench/bus/gem-bench-storm-act.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-turn.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* A client vanishes so many ms after its call at most, or earlier, when text comes. */
#define MOST_VANISH_MS 200

struct _GemStormAct {
  GemStorm *storm;
  GDBusConnection *bus;
  GemStormActOver over; /* NULL: it is over */
  gpointer data;
  GemStormKind kind;
  const GemStormText *text;
  gboolean asks; /* Ask, in place of a session's turn */
  gint64 called, first;
  guint kills;    /* that were made when it began */
  gboolean shaky; /* it began while the service was down */

  /* A turn. */
  char *session, *token, *request;
  GString *got;
  int fd;         /* of the pipe; -1: none, or closed */
  guint readable; /* source */
  gsize enough;   /* bytes after which it is ended early */
  guint vanish;   /* source */
  guint reason;   /* GemTurnReason */
  gboolean streaming, at_end, finished, ended_early, cancelling, closing, cut, vanished;
};

static void
act_clear(gpointer data)
{
  GemStormAct *self = data;

  self->storm->acts--;
  g_rc_box_release(self->storm);
  g_clear_handle_id(&self->readable, g_source_remove);
  g_clear_handle_id(&self->vanish, g_source_remove);
  if (self->fd >= 0) {
    close(self->fd);
  }
  g_object_unref(self->bus);
  g_free(self->session);
  g_free(self->token);
  g_free(self->request);
  g_string_free(self->got, TRUE);
}

void
gem_storm_act_unref(GemStormAct *self)
{
  g_rc_box_release_full(self, act_clear);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStormAct, gem_storm_act_unref)

gboolean
gem_storm_act_has_vanished(const GemStormAct *self)
{
  return self->vanished;
}

/* Counts it; `note` (NULL: none) is for what is not right. */
static void
count(GemStormAct *self, GemStormOutcome outcome, const char *note)
{
  self->storm->tally->counts[self->kind][outcome]++;
  if (note != NULL) {
    g_autofree char *words = g_strdup_printf("%s: %s", gem_storm_kind_name(self->kind), note);

    gem_storm_tally_note(self->storm->tally, words);
  }
}

static void
close_pipe(GemStormAct *self)
{
  g_clear_handle_id(&self->readable, g_source_remove);
  if (self->fd >= 0) {
    close(self->fd);
    self->fd = -1;
  }
  self->at_end = TRUE;
}

static void
end(GemStormAct *self, GemStormOutcome outcome, const char *note)
{
  GemStormActOver over = self->over;

  if (over == NULL) {
    return;
  }
  self->over = NULL;
  g_clear_handle_id(&self->vanish, g_source_remove);
  close_pipe(self);
  count(self, outcome, note);
  over(outcome, self->data);
}

/* Whether a kill may have met it. */
static gboolean
was_killed(const GemStormAct *self)
{
  return self->shaky || self->storm->down || self->kills != self->storm->tally->kills;
}

/* What the bus says of a service that is not there, or of objects that went with the one before. */
static gboolean
tells_of_kill(const GError *error)
{
  return error->domain == G_DBUS_ERROR &&
         (error->code == G_DBUS_ERROR_NO_REPLY || error->code == G_DBUS_ERROR_SERVICE_UNKNOWN ||
          error->code == G_DBUS_ERROR_NAME_HAS_NO_OWNER || error->code == G_DBUS_ERROR_UNKNOWN_METHOD ||
          error->code == G_DBUS_ERROR_UNKNOWN_OBJECT || error->code == G_DBUS_ERROR_SPAWN_CHILD_SIGNALED);
}

static void
end_by_error(GemStormAct *self, const GError *error)
{
  g_autofree char *name = g_dbus_error_encode_gerror(error);

  if (g_error_matches(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED) ||
      g_error_matches(error, GEM_ERROR, GEM_ERROR_BUSY)) {
    end(self, GEM_STORM_REFUSED, name);
  } else if (was_killed(self) && tells_of_kill(error)) {
    end(self, GEM_STORM_CUT, NULL);
  } else {
    g_autofree char *note = g_strdup_printf("%s: %s", name, error->message);

    end(self, GEM_STORM_FAILED, note);
  }
}

/* A call on the service, wherever it is now; the callback gets a reference. */
static void
call(GemStormAct *self,
     const char *path,
     const char *interface,
     const char *method,
     GVariant *arguments,
     const char *reply_type,
     GAsyncReadyCallback callback)
{
  g_dbus_connection_call(self->bus, GEM_BUS_NAME, path, interface, method, arguments,
                         G_VARIANT_TYPE(reply_type), G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, callback,
                         g_rc_box_acquire(self));
}

static GVariant *
call_finish(GemStormAct *self, GAsyncResult *result)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(self->bus, result, &error);

  if (self->over == NULL || self->vanished) {
    return NULL;
  }
  if (reply == NULL) {
    end_by_error(self, error);
  }
  return g_steal_pointer(&reply);
}

static void
note_time(GArray *times, gint64 since, gint64 until)
{
  double time = (double)(until - since) * 1e-3;

  g_array_append_val(times, time);
}

static void
note_tokens(GemStormAct *self, GVariant *stats)
{
  guint32 written = 0;

  g_variant_lookup(stats, "generated_tokens", "u", &written);
  self->storm->tally->tokens += written;
}

/* ---- leaving ---- */

/* A turn's pipe is still owed its end; an answer has nobody to come to. */
static void
vanish(GemStormAct *self)
{
  self->vanished = TRUE;
  g_clear_handle_id(&self->vanish, g_source_remove);
  g_dbus_connection_close(self->bus, NULL, NULL, NULL);
  if (!self->streaming || self->at_end) {
    end(self, GEM_STORM_RIGHT, NULL);
  }
}

static gboolean
on_vanish(gpointer data)
{
  GemStormAct *self = data;

  self->vanish = 0;
  vanish(self);
  return G_SOURCE_REMOVE;
}

/* ---- Ask ---- */

/* AskSeconds were over: what there is by then is the answer, and says so. */
static gboolean
is_cut_by_deadline(const GemStormAct *self, const char *answer, GVariant *stats)
{
  const char *reason = "";

  g_variant_lookup(stats, "reason", "&s", &reason);
  return g_str_equal(reason, "deadline") && g_str_has_prefix(self->text->answer, answer);
}

static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemStormAct) self = data;
  g_autoptr(GVariant) reply = call_finish(self, result);
  g_autoptr(GVariant) stats = NULL;
  const char *answer;

  if (reply == NULL) {
    return;
  }
  g_variant_get(reply, "(&s@a{sv})", &answer, &stats);
  note_tokens(self, stats);
  if (is_cut_by_deadline(self, answer, stats)) {
    end(self, GEM_STORM_REFUSED, "cut at AskSeconds");
    return;
  }
  if (!g_str_equal(answer, self->text->answer)) {
    end(self, GEM_STORM_WRONG, "another answer than when alone");
    return;
  }
  if (self->kind == GEM_STORM_ASK) {
    note_time(self->storm->tally->ask_ms, self->called, g_get_monotonic_time());
  }
  end(self, GEM_STORM_RIGHT, NULL);
}

static GVariant *
turn_options(const GemStormAct *self)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

  g_variant_dict_insert(&dict, "max_tokens", "u", self->storm->script->tokens);
  if (!self->asks) {
    g_variant_dict_insert(&dict, "handle_token", "s", self->token);
  }
  return g_variant_dict_end(&dict);
}

/* ---- a turn ---- */

static void
on_closed(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemStormAct) self = data;
  g_autoptr(GVariant) reply = call_finish(self, result);

  if (reply != NULL) {
    end(self, GEM_STORM_RIGHT, NULL);
  }
}

static gboolean
has_right_text(const GemStormAct *self)
{
  const char *whole = self->text->stream;

  return self->ended_early || self->cut || self->vanished ? g_str_has_prefix(whole, self->got->str)
                                                          : g_str_equal(whole, self->got->str);
}

static void
end_failed_turn(GemStormAct *self)
{
  g_autofree char *note = g_strdup_printf("a turn ended with reason %u", self->reason);

  end(self, GEM_STORM_FAILED, note);
}

/* The turn has come to its end, whichever that is: is it the right one? */
static void
settle(GemStormAct *self)
{
  if (!has_right_text(self)) {
    end(self, GEM_STORM_WRONG, "another text than when alone");
  } else if (self->vanished) {
    end(self, GEM_STORM_RIGHT, NULL);
  } else if (self->cut) {
    end(self, was_killed(self) ? GEM_STORM_CUT : GEM_STORM_LOST, was_killed(self) ? NULL : "no Finished");
  } else if (self->reason > GEM_TURN_CONTEXT && !(self->ended_early && self->reason == GEM_TURN_CANCELLED)) {
    end_failed_turn(self);
  } else {
    if (self->kind == GEM_STORM_STREAM && self->first != 0) {
      note_time(self->storm->tally->first_ms, self->called, self->first);
      note_time(self->storm->tally->whole_ms, self->called, g_get_monotonic_time());
    }
    self->closing = TRUE;
    call(self, self->session, GEM_SESSION_INTERFACE, "Close", NULL, "()", on_closed);
  }
}

static void
settle_when_complete(GemStormAct *self)
{
  if (self->over != NULL && self->streaming && self->at_end && !self->closing && !self->cancelling &&
      (self->finished || self->cut || self->vanished)) {
    settle(self);
  }
}

void
gem_storm_act_finished(GemStormAct *self, const char *path, GVariant *parameters)
{
  g_autoptr(GVariant) stats = NULL;

  if (g_strcmp0(path, self->request) != 0) {
    return;
  }
  if (self->finished) {
    end(self, GEM_STORM_WRONG, "a second Finished");
    return;
  }
  self->finished = TRUE;
  g_variant_get(parameters, "(u@a{sv})", &self->reason, &stats);
  note_tokens(self, stats);
  settle_when_complete(self);
}

void
gem_storm_act_service_left(GemStormAct *self)
{
  /* A session went with it, and its turn. */
  if (self->session != NULL && !self->finished) {
    self->cut = TRUE;
    settle_when_complete(self);
  }
}

void
gem_storm_act_give_up(GemStormAct *self)
{
  if (self->over != NULL) {
    const char *owed = !self->streaming  ? "no answer"
                       : !self->at_end   ? "no end of file"
                       : !self->finished ? "no Finished"
                                         : "no answer to Cancel or Close";

    self->over = NULL;
    g_clear_handle_id(&self->vanish, g_source_remove);
    close_pipe(self);
    count(self, GEM_STORM_LOST, owed);
  }
}

static void
on_cancelled(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemStormAct) self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(self->bus, result, &error);

  self->cancelling = FALSE;
  if (self->over == NULL) {
    return;
  }
  /* The turn may have ended before the call arrived: then the request is not there any more. */
  if (reply == NULL && !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD) &&
      !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT)) {
    end_by_error(self, error);
    return;
  }
  settle_when_complete(self);
}

/* Enough was read of a turn that is not to come to its end. */
static void
end_early(GemStormAct *self)
{
  self->ended_early = TRUE;
  if (self->kind == GEM_STORM_CANCEL) {
    self->cancelling = TRUE;
    call(self, self->request, GEM_REQUEST_INTERFACE, "Cancel", NULL, "()", on_cancelled);
  } else if (self->kind == GEM_STORM_HANG_UP) {
    close_pipe(self);
    settle_when_complete(self);
  } else {
    vanish(self);
  }
}

static void
end_early_when_enough(GemStormAct *self)
{
  if (self->kind != GEM_STORM_STREAM && !self->ended_early && self->got->len >= self->enough) {
    end_early(self);
  }
}

static gboolean
on_readable(int fd, GIOCondition condition, gpointer data)
{
  g_autoptr(GemStormAct) self = g_rc_box_acquire((GemStormAct *)data);
  char bytes[4096];
  gssize length = read(fd, bytes, sizeof bytes);

  if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
    return G_SOURCE_CONTINUE;
  }
  if (length <= 0) {
    self->readable = 0;
    close_pipe(self);
    settle_when_complete(self);
    return G_SOURCE_REMOVE;
  }
  if (self->first == 0) {
    self->first = g_get_monotonic_time();
  }
  g_string_append_len(self->got, bytes, length);
  end_early_when_enough(self);
  return self->readable != 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void
read_pipe(GemStormAct *self, int fd)
{
  self->streaming = TRUE;
  self->fd = fd;
  g_unix_set_fd_nonblocking(fd, TRUE, NULL);
  self->readable = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, self);
  end_early_when_enough(self);
}

static void
on_generating(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemStormAct) self = data;
  g_autoptr(GUnixFDList) descriptors = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply =
      g_dbus_connection_call_with_unix_fd_list_finish(self->bus, &descriptors, result, &error);
  const char *request;
  gint32 handle;
  int fd;

  if (self->over == NULL || self->vanished) {
    return;
  }
  if (reply == NULL) {
    end_by_error(self, error);
    return;
  }
  g_variant_get(reply, "(&oha{sv})", &request, &handle, NULL);
  fd = descriptors == NULL ? -1 : g_unix_fd_list_get(descriptors, handle, NULL);
  if (fd < 0 || !g_str_equal(request, self->request)) {
    end(self, GEM_STORM_WRONG, "a turn without its pipe, or under another path");
    return;
  }
  read_pipe(self, fd);
}

static void
generate(GemStormAct *self)
{
  self->called = g_get_monotonic_time();
  g_dbus_connection_call_with_unix_fd_list(
      self->bus, GEM_BUS_NAME, self->session, GEM_SESSION_INTERFACE, "Generate",
      g_variant_new("(s@a{sv})", self->text->prompt, turn_options(self)), G_VARIANT_TYPE("(oha{sv})"),
      G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, NULL, on_generating, g_rc_box_acquire(self));
}

static void
on_session(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemStormAct) self = data;
  g_autoptr(GVariant) reply = call_finish(self, result);

  if (reply != NULL) {
    g_variant_get(reply, "(o)", &self->session);
    generate(self);
  }
}

/* ---- an act ---- */

/* Of 20: 8 ask, 5 read a stream, 3 cancel one, 2 hang up, 2 vanish. */
static GemStormKind
roll_kind(GRand *random)
{
  gint32 roll = g_rand_int_range(random, 0, 20);

  return roll < 8    ? GEM_STORM_ASK
         : roll < 13 ? GEM_STORM_STREAM
         : roll < 16 ? GEM_STORM_CANCEL
         : roll < 18 ? GEM_STORM_HANG_UP
                     : GEM_STORM_VANISH;
}

GemStormAct *
gem_storm_act_new(GemStorm *storm,
                  GDBusConnection *bus,
                  const char *mangled,
                  guint serial,
                  GRand *random,
                  GemStormActOver over,
                  gpointer data)
{
  GemStormAct *self = g_rc_box_new0(GemStormAct);
  const GPtrArray *texts = storm->script->texts;

  storm->acts++;
  self->storm = g_rc_box_acquire(storm);
  self->bus = g_object_ref(bus);
  self->over = over;
  self->data = data;
  self->kind = roll_kind(random);
  self->text = texts->pdata[g_rand_int_range(random, 0, (gint32)texts->len)];
  self->kills = storm->tally->kills;
  self->shaky = storm->down;
  self->token = g_strdup_printf("storm%u", serial);
  self->got = g_string_new(NULL);
  self->fd = -1;
  self->asks = self->kind == GEM_STORM_ASK || (self->kind == GEM_STORM_VANISH && g_rand_boolean(random));
  /* A quarter before anything was written. */
  self->enough =
      (gsize)(MAX(0, g_rand_double_range(random, -1.0 / 3, 1)) * (double)strlen(self->text->stream));
  if (!self->asks) {
    self->request = g_strdup_printf(GEM_REQUEST_PATH "/%s_%s", mangled, self->token);
  }
  if (self->kind == GEM_STORM_VANISH) {
    self->vanish = g_timeout_add((guint)g_rand_int_range(random, 0, MOST_VANISH_MS), on_vanish, self);
  }
  return self;
}

void
gem_storm_act_begin(GemStormAct *self)
{
  self->called = g_get_monotonic_time();
  if (self->asks) {
    call(self, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask",
         g_variant_new("(s@a{sv})", self->text->prompt, turn_options(self)), "(sa{sv})", on_answer);
  } else {
    call(self, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "CreateSession",
         g_variant_new("(@a{sv})", g_variant_new_parsed("@a{sv} {}")), "(o)", on_session);
  }
}
