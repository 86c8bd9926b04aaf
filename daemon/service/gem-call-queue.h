/*
 * The order in which calls run: one a turn of the main loop, so that a flood of them holds up nobody else's
 * streams, and those that work in the engine only a few at a time, the next one of the user (and among equals
 * the connection) with the fewest at work, the oldest first. Batch calls come after all others, and leave one
 * place to them. There are two: of calls, and of asks (gem-ask.h), which have their own number of places.
 */
#pragma once

#include "daemon/bus/gem-caller.h"

/* A batch call that others passed so many times is next all the same. */
#define GEM_CALL_BATCH_AFTER 16u

typedef struct _GemCallQueue GemCallQueue;

/* A call's place, a part of it: zeroed but for the first block. */
typedef struct {
  GemCaller *caller;
  gboolean heavy; /* works in the engine, from `run` to gem_call_queue_leave */
  gboolean batch; /* of heavy ones */
  void (*run)(gpointer data);
  void (*late)(gpointer data, guint seconds); /* a heavy one did not come to run for so long */
  gpointer data;
  gint64 since; /* monotonic, us: it waits since then; 0: since it joined */

  /*< private >*/
  GemCallQueue *queue; /* NULL: not in it */
  gboolean running;
  guint deadline; /* source */
} GemCallTicket;

/* `parallel` heavy calls at a time, each of which waits `seconds` at most. */
GemCallQueue *
gem_call_queue_new(GemQueueKind kind, guint parallel, guint seconds);
/* None may be waiting. */
void
gem_call_queue_free(GemCallQueue *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemCallQueue, gem_call_queue_free)

/* The caller must be identified. `run` or `late` is called once, never before this returns. */
void
gem_call_queue_join(GemCallQueue *self, GemCallTicket *ticket);
/* What is left, 1 at least, of the time that a ticket in the queue may wait. */
guint
gem_call_queue_milliseconds_left(const GemCallTicket *ticket);
/* Heavy ones. */
guint
gem_call_queue_count_running(const GemCallQueue *self);
/* The call is over. */
void
gem_call_queue_leave(GemCallTicket *ticket);
/* Runs all that wait, now: when the service stops, so that they can say so. */
void
gem_call_queue_run_all(GemCallQueue *self);
