/*
 * The process that learns, as the service sees it: started anew for each learning, by systemd through a
 * socket (with a control group and limits that this service has no right to set), or as a child where there
 * is no such socket. It is not trusted: what it says is checked (adaptation/gem-adapt-packet.h), a silence
 * counts as its death, and so does taking longer than it may.
 */
#pragma once

#include "adaptation/gem-adapt-packet.h"
#include "daemon/base/gem-config.h"

typedef struct _GemTrainer GemTrainer;

typedef struct {
  void (*progress)(const GemAdaptProgress *progress, gpointer data);
  /* Its last word, `done`, `refused`, `bad-text` or `error`: once. NULL: it died without one, kept silent, or
   * broke the rules, as `error` says. The trainer may be freed from here. */
  void (*ended)(const GemAdaptPacket *packet, const GError *error, gpointer data);
} GemTrainerEvents;

/* Whether the program is installed: no promise. */
gboolean
gem_trainer_is_there(const GemConfig *config);

/* Starts it and says `start`, whose files stay the caller's. NOT_SUPPORTED when there is nothing to start,
 * FAILED when it cannot be. It ends as if it had died when it takes more than `most_seconds`. `events`
 * outlives it. */
GemTrainer *
gem_trainer_start(const GemConfig *config,
                  const GemAdaptPacket *start,
                  guint most_seconds,
                  const GemTrainerEvents *events,
                  gpointer data,
                  GError **error);
/* Takes it, and ends it: it sees the channel closed, writes its checkpoint and goes. `now`: it is not to
 * write anything more, and is killed where it is a child. No more events but `gone`, once: it is at its end,
 * or takes longer than it should. Until then it can be freed. */
void
gem_trainer_leave(GemTrainer *self, gboolean now, void (*gone)(gpointer data), gpointer data);
/* Closes the channel, and waits for nothing. */
void
gem_trainer_free(GemTrainer *self);
