/* gem-adapt as a daemon starts it: what it is given, its channel, what comes back. Whatever fails aborts. */
#pragma once

#include "adaptation/gem-adapt-channel.h"

/* A start for the model of a folder: all its files, read-only; `replaces` may be NULL. `pathway` starts as
 * that of the model's domain `from` (NULL: none). text and replay are what their files hold. Checkpoint and
 * output are new empty files. 1 thread, 1 hour, 1 GiB; others may be 100 % worse, and nothing has to be
 * gained. */
GemAdaptPacket *
gem_test_adapt_start(const char *dir,
                     const char *name,
                     const char *replaces,
                     const char *from,
                     const char *text,
                     gsize length,
                     GVariant *replay);
/* A file in memory that holds these bytes. */
int
gem_test_adapt_file(gconstpointer data, gsize size);
/* All of a file. */
GBytes *
gem_test_adapt_read(int fd);

typedef struct {
  GSubprocess *process;
  GemAdaptChannel *channel;
  guint progress[GEM_ADAPT_WRITING + 1]; /* packets that came of each phase */
  double last_share;
} GemTestAdapt;

/* Starts the program of the build and sends it the packet (NULL: none). */
GemTestAdapt *
gem_test_adapt_new(const GemAdaptPacket *start);
/* Kills it when it still runs. */
void
gem_test_adapt_free(GemTestAdapt *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTestAdapt, gem_test_adapt_free)

/* Reads on until it tells of that phase, and while it learns of a loss; FALSE: it told of the end instead. */
gboolean
gem_test_adapt_wait_phase(GemTestAdapt *self, GemAdaptPhase phase);
/* Reads on until the last packet (transfer full); NULL: it closed the channel without one. */
GemAdaptPacket *
gem_test_adapt_wait_last(GemTestAdapt *self);
void
gem_test_adapt_cancel(GemTestAdapt *self);
/* Its exit status, once it has ended by itself. */
int
gem_test_adapt_wait_exit(GemTestAdapt *self);
