/*
 * One start of the process that learns: its files are opened, the other domains' texts written if they are
 * not there yet, and then it runs to its end, whichever that is. Nothing of the store's records is changed
 * here.
 */
#pragma once

#include "adaptation/gem-adapt-packet.h"
#include "daemon/base/gem-config.h"
#include "daemon/engine/gem-engine.h"
#include "daemon/learned/gem-learned-model.h"
#include "daemon/learned/gem-learned-store.h"
#include "daemon/learned/gem-trainer.h"

typedef struct _GemLearning GemLearning;

typedef enum {
  GEM_LEARNING_DONE,      /* what it learned stands in the store's output */
  GEM_LEARNING_REFUSED,   /* it does not keep the bounds */
  GEM_LEARNING_FAILED,    /* `error`; the next start would fail alike */
  GEM_LEARNING_DIED,      /* `error`; the next start goes on from the checkpoint */
  GEM_LEARNING_NOT_BEGUN, /* `error`; the process never spoke, if there was one: that is not the text's fault
                           */
} GemLearningEnd;

typedef struct {
  /* `phase` is a word of Job.Phase. */
  void (*progress)(double share, const char *phase, gpointer data);
  /* Once, last; it may be freed from here. `figures` (a{sv}, as Job.Completed has them) with the first two,
   * `reason` with the second, `error` with the others; all borrowed. */
  void (*ended)(
      GemLearningEnd end, GVariant *figures, const char *reason, const GError *error, gpointer data);
} GemLearningEvents;

/* `model` is what `engine` runs; `record` has an order. `config` and `events` outlive it; of the rest it
 * keeps what it needs. */
GemLearning *
gem_learning_new(GemLearnedStore *store,
                 const GemConfig *config,
                 GemEngine *engine,
                 GemLearnedModel *model,
                 const GemLearnedRecord *record,
                 const GemLearningEvents *events,
                 gpointer data);
/* The process, if one runs, for who waits for its end. Transfer full. */
GemTrainer *
gem_learning_take_trainer(GemLearning *self);
/* No more events. */
void
gem_learning_free(GemLearning *self);
