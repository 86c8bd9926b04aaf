/*
 * The engine's inside, shared by the files that implement gem-engine.h. Fields are of the main loop's side
 * unless it says otherwise.
 */
#pragma once

#include "daemon/engine/gem-beat.h"
#include "daemon/engine/gem-engine.h"
#include "daemon/engine/gem-job.h"
#include "daemon/engine/gem-load.h"
#include "daemon/engine/gem-scheduler.h"

struct _GemEngine {
  GObject parent_instance;

  GMainContext *context;   /* of gem_engine_new: where every callback runs */
  GThread *thread;         /* NULL once stopped */
  GAsyncQueue *commands;   /* main loop to engine thread */
  GemVerified *record;     /* outlives the files; NULL: none is kept */
  char *model_path;        /* that it was made of */
  GemModelFiles *files;    /* outlives the runtime */
  GemTokenizer *tokenizer; /* any thread */
  gsize longest_piece;     /* bytes of a text that one token stands for, at most */
  GPtrArray *backends;     /* of GemBackendInfo */
  char *backend;           /* that was named; NULL: none */
  GStrv plugin_dirs;
  char *attention;
  double threshold;
  GemPageIn page_in;   /* of turns that do not say */
  guint64 fixed_bytes; /* see gem_engine_get_fixed_bytes */
  guint context_tokens;
  guint prefill_block;
  guint max_sequences;
  guint n_sequences;
  gboolean stopping;      /* gem_engine_stop_async was called */
  GemLearnedList learned; /* of domains */

  GMutex mutex;                   /* guards `counters` */
  GemEngineCounters counters;     /* those of the runtime, as last published */
  GemBeat beat;                   /* any thread */
  GemLoad load;                   /* any thread */
  _Atomic guint64 resident_bytes; /* any thread */
  _Atomic GemPathwaySet freed;    /* indices of `learned` that the engine thread has done with */
  GemLearnedBase learned_base;    /* what learned files must fit; router_width 0: there can be none */
  GemRuntime *runtime;            /* NULL once stopped; see gem-runtime.h for what is read from outside */

  /* Of the engine thread. */
  GemScheduler *scheduler;
  gint64 looked;         /* monotonic: when gem_pager_look_again was called */
  GemPathwaySet leaving; /* learned pathways that are in no list any more, but may be in use */
  gboolean quit;
  GTask *stop; /* returned when the thread is done; NULL: nobody waits so */
};

/* On the engine thread: lets others see what is in memory now and what was counted. Takes no lock when
 * nothing was. */
void
gem_engine_publish(GemEngine *self);

/* Called on the engine thread, in the order in which they were pushed. */
typedef void (*GemEngineCommand)(GemEngine *self, gpointer data);
void
gem_engine_push(GemEngine *self, GemEngineCommand command, gpointer data);

/* FALSE, with SHUTTING_DOWN, once the engine is stopped. */
gboolean
gem_engine_check_running(GemEngine *self, GError **error);

/* Hands a job to the engine thread. */
void
gem_engine_submit(GemEngine *self, GemJob *job);

/* From the engine thread: has `function` called with `data` on the main loop, once; calls keep their order.
 */
void
gem_engine_post(GemEngine *self, GSourceFunc function, gpointer data);

/* From the engine thread: ends `task` (taken) on the main loop, with `result` or with `error` (taken). */
void
gem_engine_return(GemEngine *self, GTask *task, gpointer result, GDestroyNotify destroy, GError *error);

/* On the engine thread, between two steps: lets go of learned pathways that are in no list, and with which no
 * job began. */
void
gem_engine_forget_learned(GemEngine *self);

/* ---- sequences ---- */

struct _GemSequence {
  GObject parent_instance;
  GemEngine *engine;
  GemSequenceState *state; /* of the engine thread, which frees it */
  char *domain;            /* forced for all turns; NULL: the router */
  guint owner;
  GemPriority priority; /* of turns that do not say */
  GemPageIn page_in;    /* of turns that do not say */
  guint tokens;         /* as last heard from the engine thread */
  gboolean busy;
};

/* ---- options ---- */

/* What `options` (may be NULL) ask for: INVALID_OPTION, UNKNOWN_DOMAIN, or PATHWAY when the forced pathway is
 * known not to hold. `ret_routing->causal` is FALSE, and its `learned` a reference that is the caller's. */
gboolean
gem_run_options_resolve(GemEngine *engine,
                        const GemRunOptions *options,
                        GemRouting *ret_routing,
                        guint *ret_cluster_set,
                        GError **error);
/* UNKNOWN_DOMAIN, naming it (shortened when it is long). */
void
gem_set_unknown_domain(GError **error, const char *domain);
gboolean
gem_generate_options_check(GemEngine *engine, const GemGenerateOptions *options, GError **error);

/* ---- text ---- */

/* Wipes and frees an array of guint32 or floats that tells of a caller's text. */
void
gem_wipe_array(GArray *array);
typedef GArray GemTokenArray; /* of guint32, wiped when it goes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTokenArray, gem_wipe_array)

/* CONTEXT_EXCEEDED for a text that is too long for the context whatever its tokens are: found without
 * tokenizing it, which the main loop has no time for. */
gboolean
gem_engine_check_length(GemEngine *self, const char *what, const char *text, GError **error);
/* Ids of `text` in `ask_template` (NULL: BOS, if the model adds one, and the text). INVALID_TEXT when the
 * text is empty or no UTF-8. */
GArray *
gem_engine_encode(GemEngine *self, const char *ask_template, const char *text, GError **error);
/* Ids of the text alone; `offsets` (gsize; may be NULL) as gem_tokenizer_encode fills them. */
GArray *
gem_engine_encode_plain(GemEngine *self, const char *text, GArray *offsets, GError **error);
/* CONTEXT_EXCEEDED, with both counts, unless `tokens` fit the context. */
gboolean
gem_engine_check_fits(GemEngine *self, const char *what, guint tokens, GError **error);

/* What a token is and where it went; `learned` (may be NULL) is that of its routing, probabilities are as the
 * router gave them, and copied. Any thread. */
GemRoutedToken *
gem_routed_token_new(const GemRuntime *runtime,
                     GemLearnedView *learned,
                     guint32 token,
                     gsize offset,
                     gsize length,
                     guint8 route,
                     const float *probabilities);
/* "general" or the domain's name; a learned one that is not in `learned` (may be NULL) is "learned". Lives as
 * long as that and the engine. */
const char *
gem_route_name(const GemModelShape *shape, const GemLearnedView *learned, guint route);
