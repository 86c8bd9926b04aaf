/* Many calls at once, which do not block, and what came back of them. */
#pragma once

#include "tests/gem-test-bus.h"

typedef struct {
  guint answered, succeeded;
  guint codes[GEM_ERROR_SHUTTING_DOWN + 1]; /* errors by code; any other error fails the test */
  char *message;                            /* of the last LimitExceeded */
} GemTestAnswers;

void
gem_test_answers_clear(GemTestAnswers *answers);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTestAnswers, gem_test_answers_clear)

/* One call of a method of Manager; `parameters` is floating. */
void
gem_test_call_async(GDBusConnection *connection,
                    const char *method,
                    GVariant *parameters,
                    GemTestAnswers *answers);
/* Calls a method of Manager that takes a text and options, `count` times at once. */
void
gem_test_call_many(GDBusConnection *connection,
                   guint count,
                   const char *method,
                   const char *text,
                   const char *options,
                   GemTestAnswers *answers);
/* Runs the main loop until `count` answers are there; fails after 40 s. */
void
gem_test_answers_wait(const GemTestAnswers *answers, guint count);

/* ---- a flood ---- */

typedef struct {
  /* One of the flood's calls. */
  void (*send)(GDBusConnection *client, guint index, GemTestAnswers *answers);
  /* A call of another client, which must succeed. */
  void (*ask)(GDBusConnection *other);
} GemTestFlood;

/* Sends `count` calls at once; until all are answered, the other asks again and again. Fails when a call is
 * not answered in 40 s, or the other waits for more than 5 s. */
void
gem_test_flood(const GemTestFlood *flood,
               GDBusConnection *client,
               GDBusConnection *other,
               guint count,
               GemTestAnswers *answers);

/* ---- what a process holds ---- */

/* Bytes in memory. */
guint64
gem_test_process_memory(GSubprocess *process);
/* Open file descriptors. */
guint
gem_test_process_descriptors(GSubprocess *process);
