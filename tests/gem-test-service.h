/*
 * A stand-in for the service: implements the contract on a private bus, inside the test's process, with
 * answers that the test's texts choose.
 *
 *   any method, text "error NAME"   fails with org.gemd.Gem1.Error.NAME and the message "made to fail"
 *   Generate "say TEXT"             writes TEXT, byte by byte, ends with reason 0
 *   Generate "reason N"             writes "part", ends with reason N
 *   Generate "endless"              writes until it is cancelled
 *   Generate "vanish"               writes "part" and leaves the bus
 *   Generate "silent"               writes nothing, takes no notice of Cancel
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemTestService GemTestService;

/* Starts a private bus and the service on it. */
GemTestService *
gem_test_service_new(void);
void
gem_test_service_free(GemTestService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestService, gem_test_service_free)

/* What the last method got; owned by the service. */
const char *
gem_test_service_get_text(GemTestService *self);
GVariant *
gem_test_service_get_options(GemTestService *self); /* a{sv} */
guint
gem_test_service_count_cancels(GemTestService *self);

/* Changes what the pathway "legal" is. */
void
gem_test_service_set_legal_state(GemTestService *self, const char *state);
void
gem_test_service_set_model_state(GemTestService *self, const char *state);
/* Gives the name away. */
void
gem_test_service_leave(GemTestService *self);

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
