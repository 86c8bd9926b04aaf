/*
 * A stand-in for the service: implements the contract on a private bus, inside the test's process, with
 * answers that the test's texts choose.
 *
 *   Ask                             answers "part"
 *   any method, text "error NAME"   fails with org.gemd.Gem1.Error.NAME and the message "made to fail"
 *   Generate "say TEXT"             writes TEXT, byte by byte, ends with reason 0
 *   Generate "reason N"             writes "part", ends with reason N
 *   Generate "changed"              writes "part", ends with reason 5 and the error ModelChanged
 *   Generate "endless"              writes until it is cancelled
 *   Generate "vanish"               writes "part" and leaves the bus
 *   LoadModel "bad", "held"         fails; waits for Cancel. "stubborn" takes no notice of it, any other
 *                                   name is done at once
 *   Generate "silent"               writes nothing, takes no notice of Cancel
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemTestService GemTestService;

/* What it may do wrong. */
typedef enum {
  GEM_TEST_FAULT_NONE,
  GEM_TEST_FAULT_ANSWER,    /* Ask gives another text */
  GEM_TEST_FAULT_NO_ANSWER, /* Ask is never answered */
  GEM_TEST_FAULT_TEXT,      /* a turn writes another text */
  GEM_TEST_FAULT_NO_END,    /* a turn's pipe is not closed */
  GEM_TEST_FAULT_FINISHED,  /* a turn ends without Finished */
  GEM_TEST_FAULT_TWICE,     /* a turn ends with two of them */
  GEM_TEST_FAULT_REASON,    /* a turn that was read to its end says that it failed */
  GEM_TEST_FAULT_LIMIT,     /* Ask says LimitExceeded: no fault, a refusal */
  GEM_TEST_FAULT_DEADLINE,  /* Ask gives the beginning, and says that its time was over: no fault either */
} GemTestFault;

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
/* The domains that sessions were made with, "-" without one, in their order: "legal - legal ". Owned. */
const char *
gem_test_service_get_session_domains(GemTestService *self);
guint
gem_test_service_count_cancels(GemTestService *self);

/* Refuses sessions above so many at once, with LimitExceeded. */
void
gem_test_service_limit_sessions(GemTestService *self, guint most);

/* Does it wrong after so many Asks and turns that it did right. */
void
gem_test_service_set_fault(GemTestService *self, GemTestFault fault, guint after);

/* From now on it has no model in its folders. */
void
gem_test_service_take_models(GemTestService *self);

/* From now on Stats is for others. */
void
gem_test_service_refuse_stats(GemTestService *self);

/* Turns after the first so many write until they are cancelled, whatever their prompt. */
void
gem_test_service_make_endless(GemTestService *self, guint after);

/* Changes what the pathway "legal" is. */
void
gem_test_service_set_legal_state(GemTestService *self, const char *state);
void
gem_test_service_set_model_state(GemTestService *self, const char *state);
/* Gives the name away. */
void
gem_test_service_leave(GemTestService *self);
/* Of its bus. */
const char *
gem_test_service_get_address(GemTestService *self);
