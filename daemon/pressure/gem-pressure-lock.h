/*
 * The program's own code stays in memory. When memory is short the kernel takes first what it can read again
 * from files, and that is the code which would give memory back: a unit above memory.high then waits for each
 * page of it, and never gets as far.
 */
#pragma once

#include <glib.h>

/* Locks what is mapped from the program and its libraries and is never written, as far as it was or will be
 * used. Returns the bytes of the mappings; 0 when none could be locked (RLIMIT_MEMLOCK), with a line for
 * those who debug. */
gsize
gem_pressure_lock_code(void);
