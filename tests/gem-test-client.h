/* Runs gem-client, as built, against a service that stands in for gemd. */
#pragma once

#include "tests/gem-test-service.h"

/* How a run of gem-client ended. */
typedef struct {
  int status; /* exit code; -1: ended by a signal */
  char *out, *err;
} GemTestRun;
void
gem_test_run_clear(GemTestRun *run);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTestRun, gem_test_run_clear)

/* Starts gem-client with the arguments, `input` (may be NULL: /dev/null) as standard input, and this bus in
 * the place of the system bus. */
GSubprocess *
gem_test_client_start(GemTestService *self, const char *const *arguments, gboolean with_input);
/* Runs it to its end while the service answers. */
void
gem_test_client_run(GemTestService *self,
                    const char *const *arguments,
                    const char *input,
                    GemTestRun *ret_run);
/* Waits for the end of one that was started. */
void
gem_test_client_finish(GSubprocess *client, const char *input, GemTestRun *ret_run);
