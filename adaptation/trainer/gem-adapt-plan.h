/* How many steps fit into the time, told by the steps so far. */
#pragma once

#include <glib.h>

/* For a plan of at most `wished` steps, of `step_seconds` each. */
guint64
gem_adapt_plan_first(guint64 wished, double seconds, double step_seconds);

typedef struct {
  guint64 steps;        /* planned */
  guint64 step;         /* done */
  guint64 observed;     /* of these, in this round */
  double round_seconds; /* that those took */
  double left_seconds;  /* until all has to be done; below 0: it is too late */
} GemAdaptPace;

/* The number of steps that is to be planned instead; 0: the plan stands. When the time is over there is one
 * more, whose rate is next to nothing; before that a plan that does not fit is cut once it is known well. */
guint64
gem_adapt_plan_revise(const GemAdaptPace *pace);
