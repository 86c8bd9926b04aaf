/*
 * What a stretch of code asks of others: allocations, locks and system calls of the thread that watches, and
 * allocations of all others meanwhile. A program that links this has its own malloc and mutex functions,
 * which count and hand on.
 */
#pragma once

#include <glib.h>

typedef struct {
  guint allocations;  /* of any thread */
  guint locks;        /* g_mutex_lock and pthread_mutex_lock, of the watching thread */
  guint system_calls; /* of the watching thread, 0 or 1: watching ends with the first */
  glong system_call;  /* its number */
} GemTestQuiet;

/* FALSE: this kernel, or this build (of a sanitizer), cannot watch. */
gboolean
gem_test_quiet_can_watch(void);

void
gem_test_quiet_begin(void);
GemTestQuiet
gem_test_quiet_end(void);
