/*
 * Many clients at once, each with a connection of its own, that ask, read streams, cancel them, hang up and
 * vanish at random, over a service that may be killed meanwhile. Whatever is owed is waited for: an answer or
 * an error for each call; an end of file and one Finished for each stream.
 */
#pragma once

#include "clients/gem-client/gem-client-remote.h"

/* What a client does next, over and over. */
typedef enum {
  GEM_STORM_ASK,     /* Ask */
  GEM_STORM_STREAM,  /* a session, a turn read to its end, Close */
  GEM_STORM_CANCEL,  /* the same, with Request.Cancel in the middle */
  GEM_STORM_HANG_UP, /* the same, with the pipe closed in the middle */
  GEM_STORM_VANISH,  /* an Ask or a turn, in the middle of which the client leaves the bus and comes back */
  GEM_STORM_N_KINDS,
} GemStormKind;

/* What came of it. */
typedef enum {
  GEM_STORM_RIGHT,   /* the very text that the service gave when it was alone; of what was ended early, its
                        beginning, and the end that it was owed */
  GEM_STORM_REFUSED, /* GEM_ERROR_LIMIT_EXCEEDED or GEM_ERROR_BUSY, or an answer that AskSeconds cut */
  GEM_STORM_CUT,     /* ended by a kill, and said so by the bus */
  GEM_STORM_WRONG,   /* another text, or a second end */
  GEM_STORM_FAILED,  /* any other error */
  GEM_STORM_LOST,    /* nothing came */
  GEM_STORM_N_OUTCOMES,
} GemStormOutcome;

typedef struct {
  const char *address; /* of the bus */
  guint clients;
  guint kills; /* SIGKILLs of the service, at random moments */
  guint seed;
  double seconds;
  double patience; /* seconds that what is owed may take after the end */
} GemStormPlan;

/* The texts of a storm and what the service writes for them while nobody else is there. */
typedef struct _GemStormScript GemStormScript;

/* Asks for all of them, with answers of at most `tokens`. */
GemStormScript *
gem_storm_script_new(GemRemote *remote, guint tokens, GError **error);
void
gem_storm_script_free(GemStormScript *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStormScript, gem_storm_script_free)

typedef struct {
  guint counts[GEM_STORM_N_KINDS][GEM_STORM_N_OUTCOMES];
  GHashTable *notes; /* what was refused or went wrong, in words -> how often (guint) */
  GArray *ask_ms;    /* double: from the call to the answer */
  GArray *first_ms;  /* of streams that were read to their end: from Generate to the first byte */
  GArray *whole_ms;  /* of the same: to the end of file and Finished */
  guint64 tokens;    /* that the service wrote, of what ended well */
  double seconds;    /* until nothing was owed any more */
  guint kills;       /* that were made */
  guint early;       /* of them before the service had answered again */
  GArray *served_ms; /* double: from a kill until a call was answered again */
} GemStormTally;

void
gem_storm_tally_init(GemStormTally *self);
void
gem_storm_tally_clear(GemStormTally *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemStormTally, gem_storm_tally_clear)

guint
gem_storm_tally_sum(const GemStormTally *self, GemStormOutcome outcome);
/* Whether nothing was wrong, failed or lost, and something right. */
gboolean
gem_storm_tally_is_well(const GemStormTally *self);

/* "ask", "stream" ...; never NULL. */
const char *
gem_storm_kind_name(GemStormKind kind);

/* Runs it; the clients have left the bus when it returns. `remote` watches and kills. Fails only when the
 * service never serves again after a kill, or nobody can connect. */
gboolean
gem_storm_run(GemRemote *remote,
              const GemStormPlan *plan,
              const GemStormScript *script,
              GemStormTally *tally,
              GError **error);
