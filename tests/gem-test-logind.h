/* A logind that the test plays on a private bus: the daemon asks it for a lock, and it says when the machine
 * goes to sleep. Everything fails the test that fails. */
#pragma once

#include "tests/gem-test-bus.h"

#define GEM_TEST_LOGIND "org.freedesktop.login1"

typedef struct {
  GDBusConnection *connection;
  gboolean refuses; /* set by the test */
  guint asked;
  int lock; /* our end: it hangs up when the other is closed; -1: not asked for yet */
} GemTestLogind;

void
gem_test_logind_start(GemTestLogind *self, GemTestBus *bus);
void
gem_test_logind_stop(GemTestLogind *self);
/* PrepareForSleep. */
void
gem_test_logind_say(GemTestLogind *self, gboolean begins);
/* Until it was asked for a lock so many times in all. */
void
gem_test_logind_wait_asked(GemTestLogind *self, guint asked);
gboolean
gem_test_logind_has_lock(GemTestLogind *self);
/* Until the daemon lets the machine sleep. */
void
gem_test_logind_wait_released(GemTestLogind *self);
