/*
 * Adaptation to a domain or a task (model.md, "Training and adaptive knowledge preservation", 3):
 *
 *   L = L_task + quantization * sum_l ||W_l - Q(W_l)||^2 + distill * KL(teacher || student)
 *       + contrast * InfoNCE
 *
 * L_task is the mean over the tokens of the text that is learned; the last two are means over the tokens and
 * the sequences of replayed text. With a frozen backbone the student is the network with the residual forced
 * on, as after a misrouting, and the teacher the same network with the residual off (or with that of the
 * replayed text's own domain, which is what a misrouted token would have had), so that neither needs a copy
 * of the network; unfrozen, the teacher is the network as it was at the start (the paper's setting). The
 * contrast's anchor is the student's feature of a replayed text, its positive the teacher's of the same text,
 * its negatives the features of the text that is being learned. Of a frozen backbone no weight's gradient is
 * computed, and gradients, moments and checkpoint are as large as the residual.
 */
#pragma once

#include "training/adapt/gem-adapt-text.h"
#include "training/adapt/gem-learned-tensors.h"

typedef enum {
  GEM_QUANTIZATION_NONE,      /* the forward alone */
  GEM_QUANTIZATION_GRADIENT,  /* its gradient is added to the loss's, and goes through AdamW */
  GEM_QUANTIZATION_DECOUPLED, /* after the step, like weight decay: w -= rate * gradient */
} GemQuantizationTerm;

typedef struct {
  GemLearns learns;
  gint8 domain;                      /* whose residual learns and runs; not read by GEM_LEARNS_GENERAL */
  int cluster_set;                   /* which centroids mask attention; -1: dense */
  guint lanes;                       /* threads; part of a run's state */
  guint sequence;                    /* tokens of the longest window; at most the backbone's positions */
  guint batch_tokens, replay_tokens; /* a lane and step; replay_tokens 0: nothing is replayed */
  double power, replay_power;        /* how groups are drawn (gem-adapt-schedule.h) */
  guint64 steps, warm_up, seed;
  gboolean replanned; /* a checkpoint may be of another number of steps, wherever it stands */
  double rate, decay_share, weight_decay;
  double answer_weight, answer_least;
  double distill, contrast, temperature;
  gboolean teacher_routed; /* the teacher of a frozen backbone runs replayed text on its domain's residual */
  double quantization;
  GemQuantizationTerm quantization_term;
  gboolean quantized; /* learned tensors run as their block types will have them */
  GemExportTypes types;
} GemAdaptOptions;

/* The defaults for what learns: see docs/training.md. Steps, domain and seed are the caller's. */
void
gem_adapt_options_init(GemAdaptOptions *options, GemLearns learns);
/* Without quantization, distillation and contrast: ordinary fine-tuning. */
void
gem_adapt_options_make_plain(GemAdaptOptions *options);

typedef struct {
  guint64 step, steps;
  double loss;                   /* of the step, nats a token of the text */
  double rate;                   /* of the step, learning rate as the schedule has it */
  double distillation, contrast; /* of the step, nats a token and a sequence of replayed text */
  double quantization;           /* sum of squares */
  gsize tokens;                  /* of text read so far in this run, replayed text not counted */
  double seconds;                /* of this run */
} GemAdaptationProgress;

typedef struct {
  void (*progress)(const GemAdaptationProgress *progress,
                   gpointer data); /* after each step, on the caller's thread */
  /* A checkpoint, every `keep_seconds`, when cancelled and at the end: there alone it has to be kept. */
  gboolean (*keep)(GemGgufWriter *checkpoint, gpointer data, GError **error);
  double keep_seconds;
  GCancellable *cancellable;
  gpointer data;
} GemAdaptHooks;

/* Learns. `values` are the backbone's: on success their learned tensors are what was learned, unquantized;
 * on failure they are undefined. `resume`: a checkpoint of the same backbone, text and options
 * (gem-adapt-identity.h), or NULL. All hooks may be NULL. Errors: a text without anything to learn, an option
 * that does not fit the backbone or the checkpoint, a loss that is not finite; G_IO_ERROR_CANCELLED. */
gboolean
gem_adapt_run(const GemBackbone *backbone,
              const float *centroids,
              float *values,
              const GemAdaptData *data,
              const GemAdaptOptions *options,
              const GemAdaptHooks *hooks,
              GemGguf *resume,
              GemAdaptationProgress *ret_last,
              GError **error);
