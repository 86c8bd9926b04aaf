/*
 * One sequence as the engine thread sees it: its tokens, the pathway that each is routed to, and the cache of
 * those that the model has run. Tokens after `cached` wait to be run.
 */
#pragma once

#include "daemon/engine/gem-kv-cache.h"
#include "daemon/engine/gem-runtime.h"

/* A route: the index of a domain, or one of these, of which gem_pathway_set_of is empty. */
#define GEM_ROUTE_GENERAL G_MAXUINT8
/* To a learned domain that was removed: it runs through general alone. */
#define GEM_ROUTE_GONE (G_MAXUINT8 - 1)

/* How a token came by its route, from which the router's memory can be made again. */
enum {
  GEM_ASKED_NOT,        /* its route was forced, and the router has not seen it */
  GEM_ASKED_CAUSAL,     /* in a turn that is seen by those before it only */
  GEM_ASKED_TURN_BEGIN, /* the first of a turn that sees the whole of itself */
  GEM_ASKED_TURN,       /* another one of it */
};

/* How many rows of one call a token is one of by what its own caller gave: 1 where it was written, or came
 * alone; in a text that is read as many as a block of it has, for general, and as many of a block as are
 * routed to its pathway, for that. What runs in a step beside it changes neither. */
typedef struct {
  guint8 general, routed; /* 1..GEM_PLACEMENT_BLOCK */
} GemTextRows;

typedef struct {
  GArray *tokens;     /* guint32 */
  GByteArray *routes; /* one a token, fixed once it stands here */
  GByteArray *asked;  /* one a token: GEM_ASKED_... */
  GArray *text_rows;  /* GemTextRows, one a token */
  guint cached;       /* leading tokens whose keys and values `cache` holds */
  guint counted;      /* leading tokens that `rows_by_pathway` has counted */
  guint cluster_set;  /* of all its rows */
  guint64 touched;    /* the number of the latest step with rows of it */
  gboolean busy;      /* a turn runs and is not paused: see gem_scheduler_find_pathways */
  GemKvCache *cache;
  GemRouterState *router_state; /* of all tokens that it was asked about; NULL: see gem-router-memory.h */
  /* Rows run through each pathway, by the pager's indices; of general: through it alone. */
  guint rows_by_pathway[GEM_MAX_PATHWAYS];
  guint degraded_rows; /* of the latter: routed to a domain that was absent */
} GemSequenceState;

GemSequenceState *
gem_sequence_state_new(const GemRuntime *runtime, guint cluster_set);
/* Wipes and frees; on the engine thread. */
void
gem_sequence_state_free(GemRuntime *runtime, GemSequenceState *self);

/* Room in the cache for the next `rows` tokens after the cached ones. */
gboolean
gem_sequence_state_reserve(GemRuntime *runtime, GemSequenceState *self, guint rows, GError **error);

/* Gives up the cache and what the router remembers, wiped: its tokens wait to be run again, with the routes
 * that they have. */
void
gem_sequence_state_drop_memory(GemRuntime *runtime, GemSequenceState *self);
/* Bytes of both. Not by the rows that it holds: a turn that was rolled back leaves the memory that it took.
 */
gsize
gem_sequence_state_get_bytes(const GemRuntime *runtime, const GemSequenceState *self);
/* Those that may go, since nobody is at work on it. */
gsize
gem_sequence_state_get_spare_bytes(const GemRuntime *runtime, const GemSequenceState *self);

/* Forgets all but the first n tokens. The router's memory is the caller's: see the next function. */
void
gem_sequence_state_truncate(GemSequenceState *self, guint n);

/* A copy of what the router remembers (NULL when it remembers nothing), and its way back: `state`, of the
 * tokens that there are then, is taken. NULL: it is made again when it is needed. */
GemRouterState *
gem_sequence_state_copy_router(GemRuntime *runtime, const GemSequenceState *self);
void
gem_sequence_state_set_router(GemRuntime *runtime, GemSequenceState *self, GemRouterState *state);

/* Tokens that are routed to one of these learned pathways have lost it for good. */
void
gem_sequence_state_forget_pathways(GemSequenceState *self, GemPathwaySet pathways);

/* Drops the older half of the tokens, keeping a leading `bos` and every token's route; what is left waits to
 * be run again from position 0, and is what the router remembers from then on. Returns how many went. */
guint
gem_sequence_state_slide(GemRuntime *runtime, GemSequenceState *self, guint32 bos);

/* The domains that its tokens are routed to. */
GemPathwaySet
gem_sequence_state_find_pathways(const GemSequenceState *self);

/* Tokens that wait to be run. */
guint
gem_sequence_state_pending(const GemSequenceState *self);
