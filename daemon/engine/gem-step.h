/*
 * One step of the model over rows of many sequences: each weight matrix runs once for all its rows, and a
 * row's result does not depend on what else is in the step. The forward pass is that of docs/model.md.
 *
 * With a device beside the CPU there is less that holds. Which side a row runs on depends on its own text
 * (GemTextRows) and on where its pathway is at the time, which what others do may change between two steps:
 * it is measured and moves there, its device fails, its copy there goes when memory is short. And a device
 * may give a row other last bits in a call of other rows (GemBackendFunctions.run).
 */
#pragma once

#include "daemon/engine/gem-beat.h"
#include "daemon/engine/gem-sequence-state.h"

/* The logits [vocab], or the final hidden state [width] after the output norm, of the row at `position`. All
 * are NaN when the state before the norm has overflowed: who takes them fails with GEM_ERROR_FAILED, and
 * nobody beside it. Called inside gem_step_run, in the order of positions. */
typedef void (*GemStepOutput)(gpointer data, guint position, const float *values);

/* The next rows of one sequence. */
typedef struct {
  GemSequenceState *sequence;
  guint rows;           /* 1..pending: taken from the first token that is not cached */
  guint outputs_from;   /* the output of rows at this position and after is wanted; G_MAXUINT: none */
  gboolean hidden;      /* the final hidden state in place of the logits */
  gboolean degrade;     /* its rows do not wait for a pathway that is absent */
  gboolean required;    /* the pathway of the sequence's last token has to be there: see gem-admission.h */
  GemStepOutput output; /* may be NULL when none is wanted */
  gpointer data;
} GemStepSpan;

typedef struct GemStep GemStep; /* the scratch memory of steps */

/* `beat` (may be NULL) beats at every layer. */
GemStep *
gem_step_new(GemRuntime *runtime, GemBeat *beat);
void
gem_step_free(GemStep *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStep, gem_step_free)

/* Runs spans [n], n >= 1, of different sequences; then `cached` of each is up by its rows. A domain that is
 * not resident is paged in first; its rows run through general alone when it cannot be, or when they do not
 * wait for it. FAILED: no sequence has moved on. */
gboolean
gem_step_run(GemStep *self, const GemStepSpan *spans, guint n, GError **error);

/* After gem_step_run has failed: the number of the span that it failed for, whose cache found no memory;
 * without it the others may run. GEM_STEP_ALL: it was not for one of them. */
#define GEM_STEP_ALL G_MAXUINT
guint
gem_step_get_failed(const GemStep *self);
