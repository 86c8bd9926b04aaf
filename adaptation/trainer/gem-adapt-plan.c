#include "adaptation/trainer/gem-adapt-plan.h"

#define LEAST_STEPS    24u  /* planned, however little time there is */
#define PATIENCE       0.08 /* of the time that is left: so much too long, and the rest is planned anew */
#define LEAST_OBSERVED 10u  /* steps, before a pace is believed */

guint64
gem_adapt_plan_first(guint64 wished, double seconds, double step_seconds)
{
  double fit = MAX(seconds, 0.0) / MAX(step_seconds, 1e-6);
  return (guint64)CLAMP(fit, (double)MIN(LEAST_STEPS, wished), (double)wished);
}

guint64
gem_adapt_plan_revise(const GemAdaptPace *pace)
{
  double each = pace->round_seconds / (double)MAX(pace->observed, 1);
  guint64 left = pace->steps - MIN(pace->step, pace->steps);
  if (left <= 1 || pace->observed == 0) {
    return 0;
  }
  if (pace->left_seconds < 2.0 * each) {
    return pace->step + 1;
  }
  if (pace->observed < LEAST_OBSERVED || each * (double)left <= pace->left_seconds * (1.0 + PATIENCE)) {
    return 0;
  }
  return pace->step + (guint64)(pace->left_seconds / each);
}
