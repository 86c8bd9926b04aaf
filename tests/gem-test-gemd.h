/* The whole service: gemd with its modules on a tiny random model, over a bus under the rules of a system
 * bus. */
#pragma once

#include "tests/gem-test-bus.h"
#include "tests/gem-test-model.h"

typedef struct {
  GemTestBus *bus;
  char *folder; /* of the model, which is there before the daemon starts */
  GemModelShape shape;
  GDBusConnection *client;
} GemTestGemd;

/* Nothing runs yet but the bus: a test may change `bus` and the model's files. A context of 256 tokens. */
GemTestGemd *
gem_test_gemd_new(void);
void
gem_test_gemd_free(GemTestGemd *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestGemd, gem_test_gemd_free)

/* Starts the daemon and waits until its ModelState is `expected`, "ready" or "failed". */
void
gem_test_gemd_start(GemTestGemd *self, const char *expected);
