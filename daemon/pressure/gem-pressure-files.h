/*
 * What the kernel's files tell of memory: those of the control group of this process and of the groups around
 * it (version 2), /proc/pressure/memory and /proc/meminfo. They are opened once and read again each time, so
 * that a look costs a few dozen microseconds and no memory.
 *
 * The reading of a file that is missing is unknown until it has come and was looked for. One that holds
 * something else is left alone from then on. Either is a line for those who debug.
 */
#pragma once

#include "daemon/pressure/gem-pressure-step.h"

typedef struct _GemPressureFiles GemPressureFiles;

/* `root`: "" for the machine's own; for tests a folder in which proc/ and sys/fs/cgroup/ stand. */
GemPressureFiles *
gem_pressure_files_open(const char *root);
void
gem_pressure_files_close(GemPressureFiles *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPressureFiles, gem_pressure_files_close)

/* All readings of the monotonic time `now` (us), which grows from call to call; `told` is FALSE. What counts
 * since the reading before is unknown the first time; stalls are counted over a fifth of a second at least,
 * and are what they were until then. */
void
gem_pressure_files_read(GemPressureFiles *self, gint64 now, GemPressureReadings *ret_readings);

/* Looks for the files that were missing. That takes memory, so it is for when there is enough. */
void
gem_pressure_files_find(GemPressureFiles *self);
