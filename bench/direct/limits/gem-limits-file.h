/* How fast a file comes: from the system's cache, and from where it is stored. */
#pragma once

#include <gio/gio.h>

/* The part of a larger file that is read: its beginning. */
#define GEM_LIMITS_FILE_MOST (64u * 1024 * 1024)

typedef struct {
  char *path;
  guint64 bytes;  /* that are read each time */
  GArray *cached; /* double: GB/s with the file in the system's cache; one a round */
  GArray *stored; /* the same after the cache was dropped; only of rounds where that was possible */
  guint64 left;   /* the most bytes that stayed in the cache when it was to be dropped */
} GemLimitsFile;

/* Reads it a first time, which tells whether that can be done. Errors: G_FILE_ERROR, which names the file. */
GemLimitsFile *
gem_limits_file_new(const char *path, GError **error);
void
gem_limits_file_free(GemLimitsFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLimitsFile, gem_limits_file_free)

/* One round: reads it after the cache was dropped, then again. The same errors. */
gboolean
gem_limits_file_measure(GemLimitsFile *self, GError **error);
