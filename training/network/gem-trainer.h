/*
 * The loop that both networks are trained by: batches side by side in lanes, gradients summed, AdamW with
 * warm-up and cosine, checkpoints. Everything that happens in a step depends on (options, seed, step, state)
 * alone, and the whole state is in the checkpoint: a run that is killed and resumed ends with the same bits,
 * on the same machine, as one that was not.
 */
#pragma once

#include "training/arithmetic/gem-lanes.h"
#include "training/network/gem-parameters.h"

typedef enum {
  GEM_TRAINER_ERROR_NOT_FINITE, /* the loss or a gradient of a step: the rate was too high, as a rule */
} GemTrainerError;

#define GEM_TRAINER_ERROR gem_trainer_error_quark()
GQuark
gem_trainer_error_quark(void);

/* In a checkpoint that a run has left where `until` ended it: that step. */
#define GEM_TRAINER_UNTIL "train.until"

typedef struct {
  guint64 steps;       /* optimizer steps in all */
  guint64 until;       /* the run ends after this step, to be resumed with other options; 0: after all */
  guint64 warm_up;     /* steps of linear rise */
  double peak_rate;    /* learning rate at the end of warm-up */
  double decay_share;  /* the last share of the steps after warm-up, in which the rate falls by a cosine to a
                          twentieth; 1: plain cosine */
  double weight_decay; /* of matrices */
  double clip;         /* largest norm of the gradient; 0: none */
  guint accumulate;    /* batches a lane and step */
  gboolean replanned; /* goes on with another number of steps while the rate falls, too: it is at once that of
                         the new plan. Else that is an error */
  guint64 seed;
  const char *checkpoint;    /* file; NULL: none */
  double checkpoint_seconds; /* between two */
  const char *title;         /* for progress lines; NULL: no lines, and signals are left alone */
} GemTrainerOptions;

typedef struct {
  double loss;   /* sum over tokens, in nats */
  gsize tokens;  /* with a target */
  double weight; /* sum of weights */
} GemTrainerTally;

/* What a network gives to the loop; `self` is its own. */
typedef struct {
  gpointer self;
  /* Makes batch `index` (0 .. accumulate - 1) of a lane for a step; returns the sum of its weights. */
  double (*prepare)(gpointer self, guint lane, guint index, guint64 step);
  /* Forward and backward over that batch: adds to gradients and tally. */
  void (*run)(gpointer self,
              guint lane,
              guint index,
              float scale,
              const float *values,
              float *gradients,
              GemTrainerTally *tally);
  /* After the update; on the calling thread. May be NULL. */
  void (*after_step)(gpointer self, guint64 step);
  /* More of the state for the checkpoint. May be NULL. */
  gboolean (*save)(gpointer self, GemGgufWriter *writer, GError **error);
  /* One more figure for the progress line, or NULL. Transfer full. */
  char *(*describe)(gpointer self);
  /* The rest may be NULL. After each step, of which the tally is; whether to stop; where checkpoints go when
   * the options name no file. */
  void (*report)(gpointer self, guint64 steps_done, const GemTrainerTally *tally);
  gboolean (*is_stopped)(gpointer self);
  gboolean (*keep)(gpointer self, GemGgufWriter *checkpoint, GError **error);
} GemTrainee;

typedef struct _GemTrainer GemTrainer;

GemTrainer *
gem_trainer_new(const GemParameters *parameters, const GemTrainerOptions *options, GemLanes *lanes);
void
gem_trainer_free(GemTrainer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTrainer, gem_trainer_free)

float *
gem_trainer_values(GemTrainer *self);
guint64
gem_trainer_step(const GemTrainer *self); /* steps done */

/* The learning rate of the step that is being taken, for after_step and report. */
double
gem_trainer_step_rate(const GemTrainer *self);

/* Reads values, moments and step of a checkpoint whose seed and options match; else an error that names the
 * difference. The number of steps may be another while the rate has not begun to fall under either; `until`
 * may not be a step before the checkpoint's. */
gboolean
gem_trainer_resume(GemTrainer *self, GemGguf *checkpoint, GError **error);

/* Steps until all are done (TRUE), or the process was asked to end by SIGINT or SIGTERM, or the trainee
 * stopped: then the checkpoint is written and G_IO_ERROR_CANCELLED says how to go on. A
 * checkpoint that cannot be written on the way is told of on stderr, once each, and the run goes on; where it
 * ends that is an error, which names the file. A loss that is not finite is a GEM_TRAINER_ERROR. The old
 * checkpoint stays. */
gboolean
gem_trainer_run(GemTrainer *self, const GemTrainee *trainee, GError **error);

/* The learning rate of a step. */
double
gem_trainer_rate(const GemTrainerOptions *options, guint64 step);
