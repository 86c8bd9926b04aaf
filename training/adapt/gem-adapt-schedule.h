/*
 * Which windows of which texts are in which batch, laid down before the first step, so that a run that is
 * resumed goes on with the same text. Texts longer than a window are cut; of a task's line its end is kept,
 * with the answer. Within a group every window is read once, in an order by chance, before any is read again.
 */
#pragma once

#include "training/adapt/gem-adapt-text.h"

typedef struct {
  guint sequence;       /* tokens of the longest window, with <s> */
  guint batch_tokens;   /* of a batch; at least `sequence` */
  guint64 batches;      /* how many */
  double power;         /* a group is drawn with its tokens to this power: 1 as they lie, 0 evenly */
  double answer_weight; /* of each of an answer's tokens, */
  double answer_least;  /* and of all of them together at least */
  guint64 seed;
} GemAdaptScheduleOptions;

typedef struct _GemAdaptSchedule GemAdaptSchedule;

/* Borrows the texts. There is at least one of two tokens. */
GemAdaptSchedule *
gem_adapt_schedule_new(const GemAdaptText *texts,
                       gsize n_texts,
                       guint32 bos,
                       const GemAdaptScheduleOptions *options);
void
gem_adapt_schedule_free(GemAdaptSchedule *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptSchedule, gem_adapt_schedule_free)

/* Instead of a route: each text on that of its own domain. */
#define GEM_ADAPT_ROUTE_OF_TEXT ((gint8)G_MININT8)

/* The batch of that index, in an empty one of `batch_tokens`, all of it of one route. */
void
gem_adapt_schedule_fill(const GemAdaptSchedule *self, guint64 index, gint8 route, GemBatch *batch);

/* Whether a text has a window: two tokens. */
gboolean
gem_adapt_text_is_usable(const GemAdaptText *text);
