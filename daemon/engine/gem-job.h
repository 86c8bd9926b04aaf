/*
 * What the engine thread works on: a sequence whose tokens are to be run, and what is done with the outputs.
 * A job is made on the main loop, handed over by gem_engine_submit, and from then on belongs to the engine
 * thread, which ends it exactly once.
 */
#pragma once

#include "daemon/engine/gem-append.h"

typedef struct GemJob GemJob;

typedef struct {
  /* Once, before the first row: appends the job's tokens to its sequence. */
  gboolean (*prepare)(GemJob *job, GError **error);
  /* The output of a row at or after outputs_from. */
  void (*output)(GemJob *job, guint position, const float *values);
  /* All tokens of the sequence are run: appends more, sets `has_next`, or sets `done`. */
  gboolean (*advance)(GemJob *job, GError **error);
  /* The `next` token was appended, together with those of other jobs; probabilities [classes] of its route.
   * NULL for jobs that never set `has_next`. */
  void (*appended)(GemJob *job, const float *probabilities);
  /* Memory is short: gives back what it has beside its sequence only to be faster. FALSE: nothing. NULL for
   * jobs that have no such thing. */
  gboolean (*give_back)(GemJob *job);
  /* Tells the main loop and frees the job. `error` (taken; NULL when done) ends it before its time. */
  void (*end)(GemJob *job, GError *error);
} GemJobClass;

/* What the main loop may do to a job that the engine thread owns; kept by both (g_atomic_rc_box). */
typedef struct {
  gint cancelled; /* atomic */
  gint paused;    /* atomic */
} GemJobControl;

struct GemJob {
  const GemJobClass *class;
  GemRuntime *runtime;        /* set when the engine thread takes the job */
  GemSequenceState *sequence; /* NULL for a job that makes its own in `prepare` */
  GemJobControl *control;     /* NULL: none */
  GCancellable *cancellable;  /* borrowed; may be NULL */
  gboolean one_shot;          /* waits until few enough others of its kind run */
  GemPathwaySet learned;      /* learned pathways that it may use: they stay until it has ended */
  guint owner;                /* owners have equal shares, see gem-fair.h */
  gint64 came;                /* monotonic, us, as the next: set by gem_engine_submit */
  gint64 deadline;            /* after which it does not wait, see gem-deadline.h; 0: none */
  gboolean batch;             /* after jobs that are not */
  guint64 last_turn;          /* of gem-fair.c */
  guint outputs_from;         /* position; see GemStepSpan, as the next three */
  gboolean hidden;
  gboolean degrade;
  gboolean required;
  guint left_out;    /* steps that it sat out since its last row, memory being short */
  gboolean gave_way; /* its memory went to another, and it waits until somebody has ended */
  gboolean prepared;
  gboolean done;
  gboolean
      has_next; /* `next` waits to be appended, routed as `next_routing` says, as is what `advance` appends */
  guint32 next;
  GemRouting next_routing;
};

gboolean
gem_job_is_cancelled(const GemJob *self);
gboolean
gem_job_is_paused(const GemJob *self);
