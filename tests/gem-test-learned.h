/*
 * Learned files for the tests' model, and what an engine makes of a user's text with them, as plain values:
 * each call turns the main loop until the answer is there. Whatever fails aborts the test.
 */
#pragma once

#include "tests/gem-test-engine.h"

/* Logits that send every token to a learned domain, or none. */
#define GEM_TEST_LEARNED_ALWAYS 60.0F
#define GEM_TEST_LEARNED_NEVER  (-60.0F)

/* Writes FOLDER/NAME-LIKE.gguf: a domain `name` (which replaces the model's of that name when there is one)
 * with the residual of the model's domain `like`, and a row of zeros with this bias. The path; transfer full.
 */
char *
gem_test_learned_write(const GemTestEngine *test, const char *name, const char *like, float bias);

/* Adds the file; NULL, or the error, transfer full. */
GError *
gem_test_learned_try(GemEngine *engine, guint owner, const char *name, gboolean shared, const char *path);
/* Writes and adds one to which every token goes. */
void
gem_test_learned_add(
    const GemTestEngine *test, guint owner, const char *name, const char *like, gboolean shared);
GError *
gem_test_learned_remove(GemEngine *engine, guint owner, const char *name);

/* Log-likelihood of `text` for that user; `domain` may be NULL. */
double
gem_test_score(GemEngine *engine, const char *text, guint owner, const char *domain);
/* Starts it. */
void
gem_test_score_start(
    GemEngine *engine, const char *text, guint owner, const char *domain, GAsyncResult **slot);
double
gem_test_score_end(GemEngine *engine, GAsyncResult **slot);

/* Starts a routed turn of 12 tokens in a new sequence. */
GemTestAnswer *
gem_test_turn(GemEngine *engine, const char *text, guint owner, const char *domain);

/* Rows that the turn ran through the pathway of that name; `table` is one of those of GemTestAnswer. */
guint
gem_test_rows_of(GHashTable *table, const char *pathway);
