/*
 * The process that learns, as the service sees it: started anew for each learning, by systemd through a
 * socket (with a control group and limits that this service has no right to set), or as a child where there
 * is no such socket. It is not trusted: what it says is checked (adaptation/gem-adapt-packet.h), a silence
 * counts as its death.
 */
#pragma once

#include "adaptation/gem-adapt-packet.h"
#include "daemon/gem-config.h"

typedef struct _GemTrainer GemTrainer;

typedef struct {
  void (*progress)(const GemAdaptProgress *progress, gpointer data);
  /* Its last word, `done`, `refused` or `error`: once. NULL: it died without one, kept silent, or broke the
   * rules, as `error` says. The trainer may be freed from here. */
  void (*ended)(const GemAdaptPacket *packet, const GError *error, gpointer data);
} GemTrainerEvents;

/* Whether the program is installed: no promise. */
gboolean
gem_trainer_is_there(const GemConfig *config);

/* Starts it and says `start`, whose files stay the caller's. NOT_SUPPORTED when there is nothing to start,
 * FAILED when it cannot be. `events` outlives it. */
GemTrainer *
gem_trainer_start(const GemConfig *config,
                  const GemAdaptPacket *start,
                  const GemTrainerEvents *events,
                  gpointer data,
                  GError **error);
/* Ends it: it sees the channel closed, writes its checkpoint and goes. `now`: it is not to write anything
 * more, and is killed where it is a child. No more events. */
void
gem_trainer_free(GemTrainer *self, gboolean now);
