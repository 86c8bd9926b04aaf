/* Who answers the questions of EdgeBench: the service (gem_edge_bus_new), or the engine in this process
 * (gem_edge_direct_new). Answers come on the thread-default main context, in any order. */
#pragma once

#include "bench/questions/gem-bench-task.h"

typedef enum {
  GEM_EDGE_CHOOSE, /* one of the labels */
  GEM_EDGE_WRITE,  /* greedily */
  GEM_EDGE_SCORE,  /* how likely the text is */
  GEM_EDGE_ROUTE,  /* what the router decides */
} GemEdgeKind;

typedef struct {
  GemEdgeKind kind;
  const char *text;
  GStrv labels;       /* of CHOOSE; borrowed */
  guint max_tokens;   /* of WRITE */
  const char *domain; /* the pathway of every token; NULL: the router's choice */
} GemEdgeQuestion;

typedef struct {
  GemBenchFate fate; /* if not USED nothing below but `seconds` counts */
  guint choice;      /* of CHOOSE: index of the label */
  char *answer;      /* of WRITE; owned */
  gboolean truncated;
  guint written;         /* of WRITE: tokens */
  double write_seconds;  /* of WRITE: that they took after the prompt was read */
  double log_likelihood; /* of SCORE: sum, natural logarithm */
  guint64 tokens;        /* of SCORE and ROUTE: of the text; of WRITE: of the prompt */
  guint64 routed;        /* of ROUTE: those that a domain's pathway runs */
  double seconds;        /* from the call to its answer */
} GemEdgeReply;

void
gem_edge_reply_clear(GemEdgeReply *reply);

/* What is seen of the service now. Counters since it started; -1 and 0 where it does not tell. */
typedef struct {
  guint64 resident, process; /* bytes */
  gint64 page_ins, page_in_failures, degraded_tokens;
  gint64 tokens; /* run through the model */
} GemEdgeSight;

typedef struct _GemEdgeAsker GemEdgeAsker;

/* Exactly one of `reply` (its answer may be taken) and `error` is there. A text that is not taken is a reply
 * with its fate. */
typedef void (*GemEdgeReplied)(GemEdgeReply *reply, const GError *error, gpointer data);

struct _GemEdgeAsker {
  const char *way; /* "bus", "direct" */
  char *model, *version;
  char *identity;     /* the model's digest, which tells it from another of its name; "" for a lone file */
  char *sight_absent; /* why there are no counters of page-ins; NULL: there are */
  GStrv domains;      /* of the model */
  void (*ask)(GemEdgeAsker *self, const GemEdgeQuestion *question, GemEdgeReplied replied, gpointer data);
  gboolean (*look)(GemEdgeAsker *self, GemEdgeSight *ret_sight, GError **error);
  void (*free)(GemEdgeAsker *self); /* what is its own, and itself; no question is open */
};

void
gem_edge_asker_free(GemEdgeAsker *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeAsker, gem_edge_asker_free)
