/* What the parts of a storm share: the texts, the clients and the kills. */
#pragma once

#include "bench/bus/gem-bench-storm.h"

typedef struct {
  const char *prompt;
  char *answer; /* of Ask */
  char *stream; /* of a session's first turn */
} GemStormText;

struct _GemStormScript {
  GPtrArray *texts; /* of GemStormText */
  guint tokens;     /* of an answer, at most */
  guint64 probe;    /* CountTokens of the first prompt */
};

/* Shared by reference count (g_rc_box_acquire): replies may come when the storm is over. */
typedef struct {
  const GemStormPlan *plan;
  const GemStormScript *script;
  GemStormTally *tally;
  gboolean stopping; /* nothing is begun any more */
  gboolean down;     /* killed, and nothing answered since */
  guint present;     /* clients that have not left */
  guint acts;        /* in memory: calls of them may be on their way */
} GemStorm;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStorm, g_rc_box_release)

void
gem_storm_tally_note(GemStormTally *self, const char *note);

/* ---- clients ---- */

typedef struct _GemStormClient GemStormClient;

/* Connects and begins; `index` gives it dice of its own. */
GemStormClient *
gem_storm_client_new(GemStorm *storm, guint index);
/* What it is still owed is lost; it leaves the bus. */
void
gem_storm_client_free(GemStormClient *self);

/* ---- kills ---- */

typedef struct _GemStormKills GemStormKills;

/* From now on; `remote` outlives it. */
GemStormKills *
gem_storm_kills_new(GemStorm *storm, GemRemote *remote);
/* All kills are made and the service has answered since. */
gboolean
gem_storm_kills_are_over(const GemStormKills *self);
/* What did not come back; NULL: nothing. Borrowed. */
const GError *
gem_storm_kills_get_error(const GemStormKills *self);
void
gem_storm_kills_free(GemStormKills *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStormKills, gem_storm_kills_free)
