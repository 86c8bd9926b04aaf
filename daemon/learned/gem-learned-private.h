/* The inside of GemLearned, shared by the files that implement gem-learned.h and gem-learned-queue.h. */
#pragma once

#include "daemon/bus/gem-bus-job.h"
#include "daemon/learned/gem-learned-model.h"
#include "daemon/learned/gem-learned-store.h"
#include "daemon/learned/gem-learned.h"
#include "daemon/learned/gem-learning.h"

/* What a learning is at before its process has begun; the others are the trainer's words. */
#define GEM_PHASE_COPYING "copying"
#define GEM_PHASE_WAITING "waiting"

/* One domain, counted by reference: whoever waits for the store or the engine holds one. */
typedef struct {
  GemLearned *all; /* NULL: it was forgotten, or the service is gone */
  GemLearnedRecord *record;
  gboolean serving;  /* the engine routes to it */
  char *unusable;    /* why its version cannot be; NULL: it can */
  guint entering;    /* times that it is on its way into the engine, or is to be: one is, the others wait */
  GPtrArray *next;   /* of those that wait (gem-learned.c); NULL: none has yet */
  GPtrArray *after;  /* of what its users ask for meanwhile (gem-learned-ask.c); NULL: nothing */
  gboolean changing; /* what its user asked for is being written down */

  /* While something is being learned. */
  const char *phase; /* NULL: nothing is */
  double progress;
  gboolean committing;    /* past the point where it can be given up */
  guint silent;           /* processes in a row that never spoke */
  gint64 not_before;      /* monotonic time: the next start after one that failed */
  GCancellable *copying;  /* of the text; NULL: it is there */
  GemLearnedOrder *asked; /* becomes the record's order when the text is there */
  GemBusJob *job;         /* NULL: nobody looks on, as after a restart */
  gboolean is_work;       /* the service waits for it at its end although there is no job */
} GemLearnedEntry;

struct _GemLearned {
  const GemConfig *config;
  GemBusJobs *jobs;
  GemWork *work;
  GemLearnedStore *store; /* NULL: there is no state folder */
  GHashTable *entries;    /* "UID/NAME" -> entry, owned */
  GHashTable *left;       /* "UID/NAME" of those whose record could not be read: nothing is done to them */
  gboolean loaded;        /* from the store */
  GemEngine *engine;      /* that `model` is of; NULL: none is served */
  GemLearnedModel *model; /* NULL: there is none, or none that can learn, see model_error */
  GError *model_error;    /* why it cannot learn */
  GPtrArray *waiting;     /* of Waiting: until the domains are read */
  GPtrArray *drops;       /* that the store is at (gem-learned-drop.c) */
  GHashTable *copies;     /* uid -> number of texts of that user that are being copied */
  gboolean stopping;

  /* Of the queue. */
  GemLearnedEntry *running; /* a reference; NULL: none */
  GemLearning *learning;    /* of `running`; NULL: about to be started */
  GemTrainer *leaving;      /* the process before, which is not at its end yet; NULL: it is */
  guint later;              /* source: until the next that has to wait for its time */
  GHashTable *turns;        /* uid -> number of its last turn */
  guint turn;
};

/* A reference, for who waits. */
GemLearnedEntry *
gem_learned_entry_ref(GemLearnedEntry *entry);
void
gem_learned_entry_unref(GemLearnedEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedEntry, gem_learned_entry_unref)

/* NULL: that user has none of that name. */
GemLearnedEntry *
gem_learned_find(GemLearned *self, guint uid, const char *name);
/* Whether that user has one of that name whose record could not be read. */
gboolean
gem_learned_is_left(GemLearned *self, guint uid, const char *name);
/* All of them, each a reference: they may go meanwhile. Transfer full. */
GPtrArray *
gem_learned_list(GemLearned *self);
/* Takes `record`. */
GemLearnedEntry *
gem_learned_add(GemLearned *self, GemLearnedRecord *record);
/* Into the table, which takes the reference; nothing of its name is there. */
void
gem_learned_put(GemLearned *self, GemLearnedEntry *entry);
/* Out of the table: nobody finds it, and whoever holds it finds that it is gone. */
void
gem_learned_take_out(GemLearnedEntry *entry);
/* Forgets it: nothing routes to it any more, nobody finds it, its files go; where they do not, it comes back.
 * `done` may be NULL. */
void
gem_learned_drop(GemLearnedEntry *entry, GemLearnedDone done, gpointer data);
/* The end of the service: what the store is still at comes back no more. */
void
gem_learned_drops_abandon(GemLearned *self);
/* Writes its record; or drops it, when there is nothing left to tell. `done` may be NULL. */
void
gem_learned_keep(GemLearnedEntry *entry, GemLearnedDone done, gpointer data);
/* Nothing routes to it any more. */
void
gem_learned_withdraw(GemLearnedEntry *entry);
/* Something that users' wishes waited for is over. */
void
gem_learned_settle(GemLearnedEntry *entry);
/* The service stops: nobody waits any more. */
void
gem_learned_fail_asked(GemLearnedEntry *entry);
/* Two domains of a name could not be told from each other, whether they serve now or not. INVALID_OPTION. */
gboolean
gem_learned_check_share(GemLearned *self, const GemLearnedRecord *record, GError **error);
/* Has the engine route to its version, if there is a model for it; where that fails nothing routes to it,
 * unless it is being committed. As it is when its turn comes: one after the other. `done` may be NULL; where
 * another model takes over meanwhile it tells of that one. */
void
gem_learned_serve(GemLearnedEntry *entry, GemLearnedDone done, gpointer data);

/* ---- gem-learned-queue.c; what brings orders in is gem-learned-adapt.c ---- */

/* Starts what is next, unless something runs. */
void
gem_learned_queue_run(GemLearned *self);
/* Another model may be served: what runs for the one before fails. */
void
gem_learned_queue_check(GemLearned *self);
/* An order that was read from the store, or whose text has come, waits for its turn. */
void
gem_learned_queue_join(GemLearnedEntry *entry);
/* What is being learned for it is given up by its user; `then` (gem_learned_keep, or gem_learned_drop for
 * one that is to be forgotten) has `done` called. Nothing happens when nothing is being learned, or it is
 * past the point where that can be given up. */
typedef void (*GemLearnedThen)(GemLearnedEntry *entry, GemLearnedDone done, gpointer data);
void
gem_learned_queue_cancel(GemLearnedEntry *entry, GemLearnedThen then, GemLearnedDone done, gpointer data);
/* The same because of `error`. */
void
gem_learned_queue_fail(GemLearnedEntry *entry, const GError *error);
void
gem_learned_queue_stop(GemLearned *self);
