/* Several turns at once over one connection, each in a session of its own, with the times at which their
 * bytes came. */
#pragma once

#include "bench/bus/gem-bench-service.h"
#include "bench/gem-bench-progress.h"

/* What all of them do. */
typedef struct {
  const GPtrArray *sessions; /* GVariant, a{sv}: options of CreateSession, which the streams take in turn */
  const char *prompt;        /* goes to the model as it is */
  guint tokens;              /* of each answer, at most */
} GemBenchStreamsPlan;

/* How one of them went. */
typedef struct {
  guint prompt_tokens, written_tokens;
  double prefill_seconds, decode_seconds; /* as the engine measured them */
  double first; /* seconds from its call to the first byte of its answer; NAN: nothing came */
  double write; /* seconds from the first byte to the end; NAN as above */
  double whole; /* seconds from its call to its end */
} GemBenchStream;

/* How all of them went together. */
typedef struct {
  double write; /* seconds from the first byte of any to the end of the last; NAN: nothing came */
  GemBenchServiceMemory memory; /* while all sessions were still there */
} GemBenchStreamsTotal;

/* Runs n turns and waits for all; a step of `progress` for each. `ret_streams` [n]. The first error of the
 * service ends them all; so does a turn that was cancelled or failed. */
gboolean
gem_bench_streams_run(GemRemote *remote,
                      const GemBenchStreamsPlan *plan,
                      guint n,
                      GemBenchProgress *progress,
                      GemBenchStream *ret_streams,
                      GemBenchStreamsTotal *ret_total,
                      GError **error);
