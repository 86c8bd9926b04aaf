/* What `gem-bench limits` has measured, and how it is told: tables, JSON, and a chart of bandwidths. */
#pragma once

#include "bench/direct/limits/gem-limits-file.h"
#include "bench/direct/limits/gem-limits-pool.h"
#include "bench/direct/limits/gem-limits-probe.h"
#include "bench/gem-bench-json.h"

typedef struct {
  char *machine;           /* what the processor is called */
  char *features;          /* its instructions */
  guint cpus;              /* processors that this process may run on */
  guint threads;           /* of the probes that run on more than one; 1: none does */
  guint rounds;            /* values of each probe */
  GPtrArray *reads;        /* GemLimitsProbe: by set, then by threads */
  GPtrArray *copies;       /* the same sets and threads, in the same order */
  GPtrArray *peaks;        /* GemLimitsProbe, whose data is a GemLimitsPeak */
  GemLimitsProbe *barrier; /* NULL on a single processor */
  GemLimitsPool *pool;     /* NULL: one thread alone */
  GemLimitsFile *file;     /* NULL: none was named */
} GemLimitsResults;

/* Empty lists, and what the machine is. */
void
gem_limits_results_init(GemLimitsResults *self);
void
gem_limits_results_clear(GemLimitsResults *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemLimitsResults, gem_limits_results_clear)

void
gem_limits_results_print(const GemLimitsResults *self);
/* As members of the open object, but for the machine's name. */
void
gem_limits_results_add_json(const GemLimitsResults *self, JsonBuilder *builder);
/* Medians of bandwidth against the working set. Errors: G_FILE_ERROR. */
gboolean
gem_limits_results_draw(const GemLimitsResults *self, const char *path, GError **error);
