/*
 * Watches over memory: listens to the service manager where it speaks (gem-pressure-watch.h), looks at the
 * kernel's files once a second, and four times when memory is short (gem-pressure-files.h), and says how much
 * should be given back, as a step from 0 to 4 (gem-pressure-step.h).
 *
 * Everything is on the thread-default main context. A look takes well under a tenth of a millisecond.
 */
#pragma once

#include "daemon/pressure/gem-pressure-step.h"

typedef struct _GemPressure GemPressure;

typedef struct {
  const char *root;    /* see gem_pressure_files_open; NULL: the machine's own */
  const char *watch;   /* MEMORY_PRESSURE_WATCH; NULL: not set */
  const char *payload; /* MEMORY_PRESSURE_WRITE; NULL: not set */
} GemPressureConfig;

/* `step` is what memory asks for now. Called when it changes, 0 when the shortage is over; and again, at most
 * once a second, as long as a step does not suffice, since what came meanwhile may go as well. */
typedef void (*GemPressureAsk)(guint step,
                               GemPressureCause cause,
                               const GemPressureReadings *readings,
                               gpointer data);

/* After each look, and after the step that it asks for. */
typedef void (*GemPressureLooked)(const GemPressureReadings *readings, gpointer data);

/* Does nothing at all when the service manager says so (MEMORY_PRESSURE_WATCH=/dev/null). The config is not
 * kept. */
GemPressure *
gem_pressure_new(const GemPressureConfig *config,
                 GemPressureLooked looked,
                 GemPressureAsk ask,
                 gpointer data);
void
gem_pressure_free(GemPressure *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPressure, gem_pressure_free)
