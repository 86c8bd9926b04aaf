/* A turn in a session of its own, with the times at which it was called, its first byte came and it ended. */
#pragma once

#include "clients/gem-client/gem-client-turn.h"

/* All zero: nothing yet. Times are monotonic, in microseconds; 0: not yet. It stays where it is while the
 * turn runs. */
typedef struct {
  GemRemote *remote;
  char *session;
  GemTurn *turn;
  gint64 called, first, ended;
  GemTurnEnded over; /* called at the end; NULL: nothing is */
  gpointer data;     /* what it gets */
} GemBenchTurn;

/* Makes the session, with these options of CreateSession (a{sv}). */
gboolean
gem_bench_turn_open(GemBenchTurn *self, GemRemote *remote, GVariant *options, GError **error);
/* Starts the turn in it; `prompt` goes to the model as it is, the answer has at most `tokens`. */
gboolean
gem_bench_turn_start(GemBenchTurn *self, const char *prompt, guint tokens, GError **error);
/* Ends all of it. */
void
gem_bench_turn_clear(GemBenchTurn *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemBenchTurn, gem_bench_turn_clear)
