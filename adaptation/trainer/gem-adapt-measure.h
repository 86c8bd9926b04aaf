/* How well the model predicts texts on the router's own routes. The result does not depend on the number of
 * lanes. */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"
#include "training/adapt/gem-adapt-text.h"
#include "training/arithmetic/gem-lanes.h"

/* Who may stop a measurement, and who hears how much of it is done, on any lane. */
typedef struct {
  GCancellable *cancellable;
  void (*share)(double share, gpointer data);
  gpointer data;
} GemAdaptWatch;

/* How the router reads: causally, as what is written is, or both ways, as turns are. */
typedef enum {
  GEM_ADAPT_LOOK_BACK,      /* nothing looks ahead */
  GEM_ADAPT_LOOK_BOTH_WAYS, /* every token knows all others */
  GEM_ADAPT_LOOK_MIXED,     /* one text so and the next the other way */
} GemAdaptLook;

/* Of the text of that index, when they are mixed. */
GemAdaptLook
gem_adapt_measure_look(guint index);
/* The text, or as much of it as is measured, alone in a batch for the router; GEM_ADAPT_LOOK_MIXED is no way
 * for one.
 */
void
gem_adapt_measure_read(const GemAdaptText *text, GemAdaptLook look, GemBatch *batch);

typedef struct {
  double loss;  /* of all targets, in nats */
  gsize tokens; /* targets */
  gsize own;    /* tokens that were routed to the learned domain */
  gsize read;   /* tokens */
} GemAdaptSums;

/* ret_sums[of each text]. row[width + 1] of a learned domain; NULL: the model as it is. CANCELLED. */
gboolean
gem_adapt_measure(const GemAdaptModel *model,
                  const GArray *texts,
                  GemAdaptLook look,
                  const float *row,
                  GemLanes *lanes,
                  const GemAdaptWatch *watch,
                  GemAdaptSums *ret_sums,
                  GError **error);

/* ret_sums[of each text]: every token is on that route. */
gboolean
gem_adapt_measure_forced(const GemAdaptModel *model,
                         const GArray *texts,
                         gint8 route,
                         GemLanes *lanes,
                         const GemAdaptWatch *watch,
                         GemAdaptSums *ret_sums,
                         GError **error);

/* Those of the texts of a group together. */
GemAdaptSums
gem_adapt_sums_add(const GArray *texts, const GemAdaptSums *sums, guint group);
/* 1 when there are no tokens; infinite when the loss is no number. */
double
gem_adapt_sums_perplexity(const GemAdaptSums *self);

/* What became of a group's perplexity. Both measurements are of the same tokens, so that the error is of the
 * difference, of which each text is one observation: far smaller than that of either. */
typedef struct {
  gsize tokens;   /* targets; 0: there is no such text */
  double percent; /* by which it grew; infinite where one of them is no number */
  double error;   /* standard error of that */
} GemAdaptChange;
GemAdaptChange
gem_adapt_sums_compare(const GArray *texts,
                       const GemAdaptSums *before,
                       const GemAdaptSums *after,
                       guint group);
