/*
 * How long tests wait for what must happen. The environment variable GEM_TEST_PATIENCE, a number, makes all
 * of it so many times longer: for emulators, sanitizers and machines that do something else beside.
 */
#pragma once

#include <glib.h>

/* So many seconds of a machine of its own, in us. */
gint64
gem_test_patience(guint seconds);

/* The monotonic time at which that patience ends. */
gint64
gem_test_deadline(guint seconds);
