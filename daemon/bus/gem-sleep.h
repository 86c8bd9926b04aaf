/*
 * The machine's sleep, as logind tells of it (org.freedesktop.login1): a delay lock is held while the machine
 * is awake, so that there is time to prepare, and given up when all is prepared. Where there is no logind, or
 * it refuses the lock, nothing happens but a line for those who debug; without a lock the signal is still
 * heeded.
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemSleep GemSleep;

/* Listens on `connection`. `prepare` is called when the machine is about to sleep; gem_sleep_ready answers
 * it. `woke` is called when it is awake again. */
GemSleep *
gem_sleep_new(GDBusConnection *connection,
              void (*prepare)(gpointer data),
              void (*woke)(gpointer data),
              gpointer data);
void
gem_sleep_free(GemSleep *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemSleep, gem_sleep_free)

/* Lets the machine sleep. The lock is taken again when it wakes up. */
void
gem_sleep_ready(GemSleep *self);
