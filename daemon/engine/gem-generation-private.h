/*
 * Between the two sides of one turn: GemGeneration on the main loop, the turn's job on the engine thread.
 */
#pragma once

#include "daemon/engine/gem-engine-private.h"
#include "daemon/engine/gem-sampler.h"
#include "daemon/engine/gem-text-stream.h"

/* Everything here is of the main loop, but for `control`. */
struct _GemGeneration {
  GObject parent_instance;
  GemSequence *sequence;
  GemGenerationEvents events;
  gpointer data;
  GDestroyNotify destroy;
  GemJobControl *control;
  GQueue events_waiting; /* of GemTurnEvent: not told, or not all of it */
};

/* What a turn is to do; all pointers are taken by gem_turn_start. */
typedef struct {
  GArray *prompt; /* guint32 */
  GArray *places; /* of GemPlace, one a token of the prompt; NULL: routes are not wanted */
  GemRouting routing;
  GemSampler *sampler;
  GemTextStream *text;
  guint max_tokens;
  gboolean slide;
  gboolean batch;
  gint64 deadline; /* see GemRunOptions */
} GemTurnPlan;

/* Makes the job and hands it to the engine thread. Takes the reference on `generation`, which comes back with
 * the finish event. */
void
gem_turn_start(GemGeneration *generation, GemTurnPlan *plan);

/* From the engine thread to the main loop. */
typedef struct {
  GemGeneration *generation;
  GString *text;     /* may be NULL */
  GPtrArray *routed; /* of GemRoutedToken; may be NULL */
  guint told;        /* of these, so far */
  guint tokens;      /* that the sequence holds */
  gboolean last;     /* the turn is over, and has these: */
  GemGenerateStats stats;
  GError *error;
} GemTurnEvent;
/* Takes the event; with the last one the reference on `self`, too. What they hold is told in the order in
 * which they are posted. */
void
gem_generation_post(GemGeneration *self, GemTurnEvent *event);
