/* Many calls of one method of the Manager, several of them in flight. */
#pragma once

#include "bench/gem-bench-progress.h"
#include "clients/gem-client/gem-client-remote.h"

/* Calls that wait for their answers at a time: enough to keep the service busy, few enough for its quotas. */
#define GEM_BENCH_IN_FLIGHT 4

typedef struct {
  const char *method;
  const char *reply_type; /* such as "(dt)" */
  guint n;                /* calls, numbered 0 to n - 1 */
  /* What call `index` sends; floating. */
  GVariant *(*arguments)(guint index, gpointer data);
  /* Its answer, in any order; NULL with `refusal` when the service does not take such an input: GEM_ERROR
   * _INVALID_TEXT or _CONTEXT_EXCEEDED. */
  void (*answered)(guint index, GVariant *reply, const GError *refusal, gpointer data);
  /* What is worked on, for the line of progress. */
  const char *(*name)(guint index, gpointer data);
} GemBenchCalls;

/* Runs them all. The first error that is no refusal stops them and is returned. */
gboolean
gem_bench_calls_run(GemRemote *remote, const GemBenchCalls *calls, gpointer data, GError **error);
