#include "daemon/pressure/gem-pressure-step.h"

/* How long readings must be below a step before it is left. */
#define CALM_MICROSECONDS (10 * G_USEC_PER_SEC)
/* The first step that a word of the service manager asks for: one that gives something back. */
#define TOLD_STEP 2u

/* By what a threshold is multiplied: to enter a step, and to leave it. */
typedef struct {
  double held, stalled, available;
} Margins;

static const Margins entering = {1, 1, 1};
static const Margins leaving = {0.9, 0.5, 1.25};

static const double held_from[GEM_PRESSURE_STEPS] = {0.75, 0.85, 0.92, 0.97};
static const double stalled_from[GEM_PRESSURE_STEPS] = {0.02, 0.10, 0.25, 0.50};
static const double system_stalled_from[GEM_PRESSURE_STEPS] = {0.05, 0.15, 0.35, 0.60};
static const double available_below[GEM_PRESSURE_STEPS] = {0.10, 0.07, 0.04, 0.02};

void
gem_pressure_readings_init(GemPressureReadings *readings)
{
  *readings = (GemPressureReadings){.held = GEM_PRESSURE_UNKNOWN,
                                    .stalled = GEM_PRESSURE_UNKNOWN,
                                    .system_stalled = GEM_PRESSURE_UNKNOWN,
                                    .available = GEM_PRESSURE_UNKNOWN};
}

/* The highest step whose threshold `share` reaches. */
static guint
step_from(double share, const double *from, double factor)
{
  guint step = 0;

  while (step < GEM_PRESSURE_STEPS && share >= from[step] * factor) {
    step++;
  }
  return step;
}

/* The same for a share that is the worse the smaller it is. */
static guint
step_below(double share, const double *below, double factor)
{
  guint step = 0;

  while (share >= 0 && step < GEM_PRESSURE_STEPS && share < below[step] * factor) {
    step++;
  }
  return step;
}

static void
raise_to(guint *step, GemPressureCause *cause, guint other, GemPressureCause other_cause)
{
  if (other > *step) {
    *step = other;
    *cause = other_cause;
  }
}

/* The step of these readings alone. */
static guint
grade(const GemPressureReadings *readings, const Margins *margins, GemPressureCause *ret_cause)
{
  guint step = 0;

  raise_to(&step, ret_cause, step_from(readings->held, held_from, margins->held), GEM_PRESSURE_HELD);
  raise_to(&step, ret_cause, step_from(readings->stalled, stalled_from, margins->stalled),
           GEM_PRESSURE_STALLED);
  raise_to(&step, ret_cause, step_from(readings->system_stalled, system_stalled_from, margins->stalled),
           GEM_PRESSURE_SYSTEM_STALLED);
  raise_to(&step, ret_cause, step_below(readings->available, available_below, margins->available),
           GEM_PRESSURE_AVAILABLE);
  raise_to(&step, ret_cause, readings->limit, GEM_PRESSURE_LIMIT);
  return step;
}

guint
gem_pressure_ladder_take(GemPressureLadder *self, const GemPressureReadings *readings, gint64 now)
{
  GemPressureCause cause = self->cause, kept = self->cause;
  guint enter = grade(readings, &entering, &cause);
  guint keep = grade(readings, &leaving, &kept);

  if (readings->told) {
    raise_to(&enter, &cause, CLAMP(self->step + 1, TOLD_STEP, GEM_PRESSURE_STEPS), GEM_PRESSURE_TOLD);
    keep = MAX(keep, enter);
  }
  if (enter > self->step) {
    self->step = enter;
    self->cause = cause;
  }
  if (keep >= self->step) {
    self->pressed = now;
  } else if (now - self->pressed >= CALM_MICROSECONDS) {
    self->step = keep;
    self->cause = kept;
    self->pressed = now;
  }
  return self->step;
}

gboolean
gem_pressure_ladder_is_pressed(const GemPressureLadder *self, gint64 now)
{
  return self->step > 0 && self->pressed == now;
}

const char *
gem_pressure_cause_name(GemPressureCause cause)
{
  static const char *const names[] = {"held", "stalled", "system-stalled", "available", "limit", "told"};

  return names[cause];
}
