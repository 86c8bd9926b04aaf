/* What a run comes to. Figures that there are none of are NAN; docs/edgebench.md defines each. */
#pragma once

#include "bench/edge/gem-edge-baselines.h"
#include "bench/edge/gem-edge-flop.h"
#include "bench/edge/gem-edge-score.h"
#include "bench/edge/gem-edge-specialist.h"
#include "bench/edge/gem-edge-state.h"

/* Seconds. */
typedef struct {
  double query_p50, query_p95; /* from the call to its answer */
  double token_p50, token_p95; /* of a written token, each answer's mean */
} GemEdgeLatency;

typedef struct {
  const GemEdgeTask *task;
  GemEdgeTaskScore score; /* as the service routes */
  GemEdgeScore f1;        /* the one of `score` that counts */
  GemEdgeLatency latency;
  GemEdgeScore specialist;
  double normalised;
  GemEdgeBaseline linear;
  guint transfer_n;       /* lines that ran through every pathway */
  double transfer_chance; /* F1 of guessing on these */
  double *pathways;       /* [domains + 1] F1 through each, the general part last */
  double in, out;         /* through the own pathway; the mean through the other domains' */
} GemEdgeTaskResult;

/* Perplexity of inputs. */
typedef struct {
  double routed, own, others;
  guint64 tokens;
  guint texts;
} GemEdgePerplexity;

/* How far good performance in a domain lasts in others. */
typedef struct {
  double in, out, gg, dsi;
} GemEdgeSpan;

/* Where 95 % of the figures lie with tasks drawn anew, and their middle, which is beside the figure itself
 * where one that is divided by is uncertain; all NAN: not known. */
typedef struct {
  double low, median, high;
} GemEdgeInterval;

typedef struct {
  const char *name;
  guint tasks;
  GemEdgeScore f1;
  double chance, majority, linear, normalised;
  GemEdgeSpan routed, routed_normalised; /* of the service's F1 here against that in other domains */
  GemEdgeSpan forced, forced_normalised; /* of the domain's pathway */
  GemEdgeSpan same; /* of the domain's tasks: through its own pathway, and through those of others */
  GemEdgePerplexity perplexity;
} GemEdgeDomainResult;

typedef struct {
  guint64 resident_peak, resident_active, process_peak; /* bytes; 0: not told */
} GemEdgeMemory;

typedef struct {
  gint64 page_ins, page_in_failures, degraded_tokens; /* -1: not told */
} GemEdgePaging;

typedef struct {
  const GemEdgePlan *plan;
  GemEdgeTaskResult *tasks;     /* [of the suite] */
  GemEdgeDomainResult *domains; /* [n_domains] */
  guint n_tasks, n_domains;
  double *matrix; /* [n_domains + 1][n_domains] mean F1 of the column's tasks through the row's pathway */
  double *matrix_normalised;      /* the same of normalised scores */
  GemEdgeInterval gg_forced, gap; /* of the means over domains of forced.gg and same.gg */
  GemEdgeScore f1;
  guint class_tasks, beating_majority; /* by two standard errors; of chance where there is no majority */
  GemEdgeLatency latency;
  GemEdgeMemory memory;
  GemEdgePaging paging;
  double seconds, joules;
  guint64 calls;
  gint64 tokens;       /* run through the model; -1: not told */
  double routed_share; /* of tokens that a domain's pathway runs */
  GemEdgeFlop flop;    /* zeros: not known */
  char *specialist;    /* name of its model; NULL */
  gboolean has_transfer;
  gboolean has_baselines;
} GemEdgeResult;

/* What a run is held against; each may be NULL. */
typedef struct {
  const GemEdgeSpecialist *specialist;
  const GemEdgeBaselines *baselines;
  const GemEdgeFlop *flop;
} GemEdgeScale;

GemEdgeResult *
gem_edge_result_new(const GemEdgePlan *plan, const GArray *samples, const GemEdgeScale *scale);
void
gem_edge_result_free(GemEdgeResult *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemEdgeResult, gem_edge_result_free)

/* Whether a task is more often right than its linear model by two standard errors of the difference;
 * `and_majority`: and than the majority, or chance where there is none, which a linear model may well be
 * below. */
gboolean
gem_edge_result_beats_linear(const GemEdgeTaskResult *result, gboolean and_majority);

/* "DOMAIN/NAME" of the tasks with classes that the file of baselines lacks, borrowed; none without one. */
GPtrArray *
gem_edge_result_list_without_linear(const GemEdgeResult *self);

/* The mean over domains of the figure that stands at `offset` of GemEdgeDomainResult. */
double
gem_edge_result_get_mean(const GemEdgeResult *self, gsize offset);

/* Mean operations of a token; NAN when the shape is not known. */
double
gem_edge_result_get_flop(const GemEdgeResult *self);
