/*
 * What systemd is told: READY, STATUS, RELOADING, STOPPING, and WATCHDOG while main loop and engine
 * thread turn. Nothing of it does anything outside systemd.
 */
#pragma once

#include "daemon/service/gem-service.h"

typedef struct _GemWatchdog GemWatchdog;

/* Starts the timer when the unit has a watchdog. */
GemWatchdog *
gem_watchdog_new(GemService *service);
void
gem_watchdog_free(GemWatchdog *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemWatchdog, gem_watchdog_free)

/* STATUS from the state of the model; with READY once the name is owned, with STOPPING at the end. */
void
gem_watchdog_tell_ready(GemWatchdog *self);
void
gem_watchdog_tell_status(GemWatchdog *self);
/* Before the configuration is read again; ready comes after. */
void
gem_watchdog_tell_reloading(GemWatchdog *self);
/* STOPPING because nobody needs the service; `heard` is called, once, when systemd has heard it and knows
 * from then on that a start is wanted after the end, after five seconds at the latest; at once where there is
 * no systemd. Not called any more once the watchdog is freed. */
void
gem_watchdog_tell_leaving(GemWatchdog *self, void (*heard)(gpointer data), gpointer data);
void
gem_watchdog_tell_stopping(GemWatchdog *self);
