/*
 * A machine with NPUs, as far as /sys and /dev say: both are replaced by the test's own in a mount namespace
 * of this process, which nobody else sees.
 */
#pragma once

#include <glib.h>

/* First in main, before there is another thread: /sys/class is empty then, and /dev has null, zero, full,
 * random, urandom and shm. NULL, or why that cannot be had here (transfer full): the tests are to be skipped
 * then. */
char *
gem_test_sys_enter(void);

/* An accelerator as its driver makes it: /sys/class/accel/NAME, of that driver, vendor and device; and
 * /dev/accel/NAME, which is /dev/null in truth, if `node`. */
void
gem_test_sys_add_accelerator(
    const char *name, const char *driver, const char *vendor, const char *device, gboolean node);
/* The version that its driver's module states. */
void
gem_test_sys_set_version(const char *name, const char *version);
/* All that were added. */
void
gem_test_sys_clear(void);
