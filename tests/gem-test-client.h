/* Runs gem-client and gem-bench, as built, against a service that stands in for gemd or against none. */
#pragma once

#include <json-glib/json-glib.h>

#include "tests/gem-test-service.h"

/* How a run of a program ended. */
typedef struct {
  int status; /* exit code; -1: ended by a signal */
  char *out, *err;
} GemTestRun;
void
gem_test_run_clear(GemTestRun *run);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTestRun, gem_test_run_clear)

/* Starts a program of the build tree, FOLDER/NAME, with the arguments, the bus of `self` (NULL: none)
 * in the place of the system bus, and a pipe (otherwise /dev/null) as standard input. */
GSubprocess *
gem_test_program_start(GemTestService *self,
                       const char *folder,
                       const char *name,
                       const char *const *arguments,
                       gboolean with_input);
/* The same with gem-client. */
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
/* Ctrl-C for a GSubprocess; a GSourceFunc that comes once. */
gboolean
gem_test_client_interrupt(gpointer client);
/* Until it has written something. */
void
gem_test_client_wait_output(GSubprocess *client);

/* Transfer full; fails the test when it is none. */
JsonNode *
gem_test_parse_json(const char *text);
