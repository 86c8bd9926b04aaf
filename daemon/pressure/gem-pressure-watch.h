/*
 * The service manager's word that memory is pressed: the protocol that https://systemd.io/MEMORY_PRESSURE
 * describes (systemd 254 and later). MEMORY_PRESSURE_WATCH names what to watch, MEMORY_PRESSURE_WRITE is what
 * to write into it first.
 */
#pragma once

#include <glib.h>

typedef struct _GemPressureWatch GemPressureWatch;

/* Whether `path` says that nothing is to be done about memory at all. */
gboolean
gem_pressure_watch_is_off(const char *path);

/* Watches `path`, absolute: a regular file is taken for one of the kernel's pressure files (POLLPRI, never
 * read), a FIFO and a stream socket for somebody who writes (POLLIN, what comes is thrown away). `payload` is
 * Base64; NULL: nothing is written. `told` is called on the thread-default main context each time. What stops
 * working later is left alone, with a line for those who debug. Errors: G_FILE_ERROR. */
GemPressureWatch *
gem_pressure_watch_new(
    const char *path, const char *payload, void (*told)(gpointer data), gpointer data, GError **error);
void
gem_pressure_watch_free(GemPressureWatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPressureWatch, gem_pressure_watch_free)
