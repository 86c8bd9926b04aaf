/*
 * An engine under MemoryLimit: what its parts take, measured, and answers to one prompt in as few words as
 * tests of limits need.
 */
#pragma once

#include "tests/gem-test-engine.h"

#define GEM_TEST_LIMIT_TOKENS 12u /* of an answer, unless a test says otherwise */

typedef struct {
  GemTestEngine *test;
  GemEngine *engine;
  guint64 fixed;   /* bytes of what stays */
  guint64 router;  /* that the router remembers of a sequence, and the scratch of a first answer */
  guint64 pathway; /* of one domain; all are alike */
  guint64 cache;   /* of an answer of GEM_TEST_LIMIT_TOKENS tokens */
} GemTestLimit;

/* Starts the engine, measures, and leaves nothing of it in memory. Every token is routed to some domain. */
void
gem_test_limit_init(GemTestLimit *self);
void
gem_test_limit_clear(GemTestLimit *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemTestLimit, gem_test_limit_clear)

/* Room for one sequence at work and so many halves of a pathway. */
guint64
gem_test_limit_for(const GemTestLimit *self, guint halves);
/* In force when it returns. */
void
gem_test_limit_set(GemTestLimit *self, guint64 bytes);
/* The engine has done then what it was told before. */
void
gem_test_limit_relieve(GemEngine *engine, GemRelief step);
GemEngineCounters
gem_test_limit_counters(GemTestLimit *self);
gboolean
gem_test_limit_is_resident(GemTestLimit *self, const char *domain);

/* A turn of so many tokens; `domain` is forced unless NULL. */
GemTestAnswer *
gem_test_limit_start(GemSequence *sequence, guint tokens, const char *domain, GemPageIn page_in);
/* The same, waited for, of GEM_TEST_LIMIT_TOKENS. */
GemTestAnswer *
gem_test_limit_answer(GemSequence *sequence, const char *domain, GemPageIn page_in);
/* The same in a sequence of its own, which is gone afterwards. */
GemTestAnswer *
gem_test_limit_answer_alone(GemTestLimit *self, const char *domain, GemPageIn page_in);
char *
gem_test_limit_text_alone(GemTestLimit *self, const char *domain);
