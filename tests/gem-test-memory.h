/*
 * Looks for a text in the whole memory of the process, freed memory included, for tests that want none of it
 * left. The test itself keeps a disguised copy alone.
 */
#pragma once

#include <glib.h>

/* free() writes over the first bytes of what it takes: what comes after them is looked for. */
#define GEM_TEST_SECRET_HEAD 64u

/* A pattern that is not written down anywhere as it is. */
typedef struct {
  guint8 *disguised;
  gsize length;
} GemTestSecret;

/* All but the head of `data`, which has more bytes than that. */
void
gem_test_secret_set(GemTestSecret *self, gconstpointer data, gsize length);
void
gem_test_secret_clear(GemTestSecret *self);

/* How often it stands in the memory that this process can write. */
guint
gem_test_secret_count(const GemTestSecret *self);

/* FALSE where an emulator stands between. */
gboolean
gem_test_can_read_memory(void);

/* A text that no file holds: letters that a generator draws. Transfer full. */
char *
gem_test_draw_text(guint seed, gsize length);
