/*
 * Texts of the domains that a model has, written by the model itself: what is learned must not change how it
 * writes them, and the corpus that it was trained on is not on the device. They are made once for each model,
 * as batch work that gives way to all who wait for an answer, and kept in STATE/replay/, unless a domain
 * could not be had.
 */
#pragma once

#include "daemon/engine/gem-engine.h"

typedef struct _GemReplay GemReplay;

typedef struct {
  void (*progress)(double share, gpointer data);
  /* Once. `fd`, taken by who gets it, is open for reading: a serialised GVariant a(ss), domain (or "general")
   * and text; -1 with `error`. The replay may be freed from here. */
  void (*ready)(int fd, const GError *error, gpointer data);
} GemReplayEvents;

/* `model` is the identity of the model that `engine` runs. `events` outlives it. */
GemReplay *
gem_replay_new(GemEngine *engine,
               const char *state_dir,
               const char *model,
               const GemReplayEvents *events,
               gpointer data);
/* No more events; what is being written is given up. */
void
gem_replay_free(GemReplay *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemReplay, gem_replay_free)
