/* Lines of progress on stderr: share done, loss, tokens a second, time left. And the wish to stop, by SIGINT
 * or SIGTERM. */
#pragma once

#include <glib.h>

typedef struct _GemProgress GemProgress;

/* From now on SIGINT and SIGTERM are a wish, the second of them excepted. */
void
gem_progress_take_signals(void);

/* Steps `done` of `total`. Also takes SIGINT and SIGTERM from now on. */
GemProgress *
gem_progress_new(const char *title, guint64 done, guint64 total);
void
gem_progress_free(GemProgress *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemProgress, gem_progress_free)

/* After each step; prints about every ten seconds, and at the end. `loss` is a sum over `tokens`; `more` (may
 * be NULL) is put at the end of the line. */
void
gem_progress_step(GemProgress *self, guint64 done, double loss, gsize tokens, double rate, const char *more);

/* Whether SIGINT or SIGTERM came. */
gboolean
gem_progress_interrupted(void);
