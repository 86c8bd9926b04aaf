/*
 * Work that answers once and keeps nothing: a job with a sequence of its own and the GTask that waits for it.
 */
#pragma once

#include "daemon/engine/gem-engine-private.h"

/* What the call's options say. */
typedef struct {
  GemPrompt *prompt;  /* owned */
  GemRouting routing; /* its `learned` is kept by the task */
  guint cluster_set;
  guint owner;
  gboolean batch;
  gint64 deadline;
} GemOneShotRun;

typedef struct {
  GemJob job;
  GemEngine *engine; /* kept by the task */
  GTask *task;
  GemOneShotRun run; /* its prompt's tokens are run first */
  gpointer result;   /* set by the job when it is done, with its `destroy` */
  GDestroyNotify destroy;
} GemOneShot;

/* Starts the task of a call; NULL, with the error returned through it, when the engine is stopped, the
 * options do not hold, or the text is none or does not fit. */
GTask *
gem_one_shot_begin(GemEngine *engine,
                   const char *text,
                   const GemPromptSpec *spec,
                   const GemRunOptions *options,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer data,
                   gpointer tag,
                   GemOneShotRun *ret_run);

/* Fills the common part of a zeroed one and submits it; takes the task, and what `run` owns. */
void
gem_one_shot_submit(GemOneShot *self, const GemJobClass *class, GTask *task, const GemOneShotRun *run);

/* The `prepare` of most: makes the sequence and appends the tokens as one turn. */
gboolean
gem_one_shot_prepare(GemJob *job, GError **error);

/* Returns result or error (taken) through the task and frees the common part and `self`. */
void
gem_one_shot_end(GemJob *job, GError *error);
