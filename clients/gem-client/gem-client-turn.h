/* Turns of a session: the prompt goes in, text comes back through a pipe. */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-remote.h"

/* As of org.gemd.Gem1.Request::Finished. */
typedef enum {
  GEM_TURN_END = 0,
  GEM_TURN_STOP = 1,
  GEM_TURN_LIMIT = 2,
  GEM_TURN_CONTEXT = 3,
  GEM_TURN_CANCELLED = 4,
  GEM_TURN_SHUTDOWN = 5,
  GEM_TURN_FAILED = 6,
  GEM_TURN_SLOW_READER = 7,
} GemTurnReason;

typedef struct {
  guint reason;         /* GemTurnReason; a later service may know more */
  gboolean interrupted; /* by Ctrl-C; then there may be no stats */
  GVariant *stats;      /* a{sv}; NULL when the service did not answer the cancel in time */
  GVariant *routes;     /* a(sttsa{sd}) of prompt and answer; empty unless asked for */
} GemTurnResult;

void
gem_turn_result_clear(GemTurnResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTurnResult, gem_turn_result_clear)

/* Text as it comes: bytes, which may end inside a character. FALSE: nobody reads it any more, cancel. */
typedef gboolean (*GemTurnText)(const char *bytes, gsize length, gpointer data);

/* A turn that runs. */
typedef struct _GemTurn GemTurn;

/* The turn is over, well or not: called once, from the main loop. */
typedef void (*GemTurnEnded)(gpointer data);

/* Starts a turn and comes back; the main loop then calls `text` as text comes, and `ended`. `options` (a{sv})
 * are those of Session.Generate, floating or not; `remote` outlives the turn. Errors: of the service. */
GemTurn *
gem_turn_begin(GemRemote *remote,
               const char *session,
               const char *prompt,
               GVariant *options,
               GemTurnText text,
               GemTurnEnded ended,
               gpointer data,
               GError **error);
/* Asks the service to stop a turn that runs; it ends soon, as cancelled. */
void
gem_turn_cancel(GemTurn *turn);
/* What came of a turn that has ended. G_IO_ERROR_CLOSED when the service went away in the middle. */
gboolean
gem_turn_finish(GemTurn *turn, GemTurnResult *ret_result, GError **error);
/* Nothing is called back any more; a turn that still runs goes on until its session is closed. */
void
gem_turn_free(GemTurn *turn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTurn, gem_turn_free)

/* Both, waiting in between; Ctrl-C cancels the turn on the service. */
gboolean
gem_turn_run(GemRemote *remote,
             const char *session,
             const char *prompt,
             GVariant *options,
             GemTurnText text,
             gpointer data,
             GemTurnResult *ret_result,
             GError **error);
