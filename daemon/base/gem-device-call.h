/*
 * Calls of a device's code on threads that the end of the process does not wait for, since a device may hang.
 * exit() takes libraries apart, a vendor's too, with what it computes on and threads of its own: never under
 * such a call. Who ends the process asks first, and ends it with quick_exit() then. Any thread.
 */
#pragma once

#include <glib.h>

void
gem_device_call_begin(void);
void
gem_device_call_end(void);
/* Whether one is under way. */
gboolean
gem_device_call_is_any(void);
