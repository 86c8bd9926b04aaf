/*
 * A checkpoint in one regular file that cannot be renamed over: two slots that are written in turn, each with
 * a length and a hash, so that whatever moment the process dies at, the other one holds.
 */
#pragma once

#include <gio/gio.h>

/* The newest whole checkpoint in the file (transfer full) and its number; NULL when there is none. */
GBytes *
gem_adapt_slots_read(int fd, guint64 *ret_number);

/* Writes checkpoint `number`, over that before the last one. IO: what was in the other slot still is. */
gboolean
gem_adapt_slots_write(int fd, guint64 number, GBytes *bytes, GError **error);
