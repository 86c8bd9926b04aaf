/*
 * Work that answers once and keeps nothing: a job with a sequence of its own and the GTask that waits for it.
 */
#pragma once

#include "daemon/engine/gem-engine-private.h"

/* What the call's options say. */
typedef struct {
  GemRouting routing; /* its `learned` is kept by the task */
  guint cluster_set;
  guint owner;
  gboolean batch;
} GemOneShotRun;

typedef struct {
  GemJob job;
  GemEngine *engine; /* kept by the task */
  GTask *task;
  GArray *tokens; /* guint32: what is run first */
  GemOneShotRun run;
  gpointer result; /* set by the job when it is done, with its `destroy` */
  GDestroyNotify destroy;
} GemOneShot;

/* Starts the task of a call; NULL, with the error returned through it, when the engine is stopped or the
 * options do not hold. */
GTask *
gem_one_shot_begin(GemEngine *engine,
                   const GemRunOptions *options,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer data,
                   gpointer tag,
                   GemOneShotRun *ret_run);

/* Fills the common part of a zeroed one and submits it; task and tokens are taken. */
void
gem_one_shot_submit(
    GemOneShot *self, const GemJobClass *class, GTask *task, GArray *tokens, const GemOneShotRun *run);

/* The `prepare` of most: makes the sequence and appends the tokens as one turn. */
gboolean
gem_one_shot_prepare(GemJob *job, GError **error);

/* Returns result or error (taken) through the task and frees the common part and `self`. */
void
gem_one_shot_end(GemJob *job, GError *error);

/* Natural logarithm of softmax(logits [n]) at `token`. */
double
gem_log_likelihood(const float *logits, guint n, guint32 token);
