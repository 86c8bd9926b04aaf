/*
 * How hard memory is pressed, as one of the steps in which it is given back, from what was read. Nothing here
 * reads, waits or keeps time.
 *
 * A step is entered as soon as one reading reaches its threshold:
 *
 *   reading                                              step 1     2     3     4
 *   held: of the unit's limit, what cannot be reclaimed    75 %  85 %  92 %  97 %
 *   stalled: time in which the unit waited for memory       2 %  10 %  25 %  50 %
 *   system stalled: the same of the whole machine           5 %  15 %  35 %  60 %
 *   available: of the machine's memory, below              10 %   7 %   4 %   2 %
 *   limit reached: memory.events counted one              high   max          oom
 *   told: the service manager says so                             2, then a step more each time
 *
 * It is left, for what the readings are then, when they have been clearly below its threshold for ten
 * seconds: held below nine tenths of it, stalled below half of it, available above one and a quarter of it.
 */
#pragma once

#include <glib.h>

#define GEM_PRESSURE_STEPS 4u

typedef enum {
  GEM_PRESSURE_HELD,
  GEM_PRESSURE_STALLED,
  GEM_PRESSURE_SYSTEM_STALLED,
  GEM_PRESSURE_AVAILABLE,
  GEM_PRESSURE_LIMIT,
  GEM_PRESSURE_TOLD,
} GemPressureCause;

/* Shares are 0 to 1 (held: more, above the limit); GEM_PRESSURE_UNKNOWN is no reason for any step. */
#define GEM_PRESSURE_UNKNOWN (-1.0)
typedef struct {
  double held;
  guint64 held_bytes, limit_bytes; /* of the same group; 0: it has no limit */
  double stalled;                  /* since the reading before */
  double system_stalled;           /* since the reading before */
  double available;
  guint limit;   /* step of the gravest event that memory.events has counted since the reading before */
  gboolean told; /* by the service manager, since the reading before */
} GemPressureReadings;

/* All unknown. */
void
gem_pressure_readings_init(GemPressureReadings *readings);

typedef struct {
  guint step;             /* 0: none */
  GemPressureCause cause; /* of the step; meaningless for 0 */
  gint64 pressed;         /* us: when readings were last at the step */
} GemPressureLadder;

/* The step after `readings`, taken at the monotonic time `now` (us). */
guint
gem_pressure_ladder_take(GemPressureLadder *self, const GemPressureReadings *readings, gint64 now);
/* Whether the readings of `now` were still at the step, so that what came since should go again. */
gboolean
gem_pressure_ladder_is_pressed(const GemPressureLadder *self, gint64 now);

/* "held", "stalled", "system-stalled", "available", "limit", "told". */
const char *
gem_pressure_cause_name(GemPressureCause cause);
