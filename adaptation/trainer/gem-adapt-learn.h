/*
 * Learning the residual within a time: a few steps tell how long one takes, which gives their number, so that
 * the rate has fallen when the time is over; when others take the processor meanwhile, the rest is planned
 * anew (gem-adapt-plan.h), and when the time is over it ends. The plan is in the checkpoint: a run that was
 * killed ends with the same bytes as one that was not.
 */
#pragma once

#include "adaptation/trainer/gem-adapt-documents.h"
#include "adaptation/trainer/gem-adapt-model.h"

typedef struct {
  GemAdaptModel *model; /* its residual learns */
  const GemAdaptStart *start;
  guint lanes; /* threads that learn: what is learned depends on it */
  const GemAdaptDocuments *documents;
  const GArray *replayed; /* GemAdaptText of other domains, for distillation */
  const char *identity;   /* of text, model and options: a checkpoint of another one is none */
  double seconds;         /* that learning may take */
  GCancellable *cancellable;
  void (*progress)(double share, double loss, gpointer data); /* after each step */
  gpointer data;
} GemAdaptLearning;

/* CANCELLED: the checkpoint is written. */
gboolean
gem_adapt_learn(const GemAdaptLearning *self, guint64 *ret_steps, GError **error);
