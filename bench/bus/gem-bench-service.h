/* The service that is measured: what it is, and what it takes. */
#pragma once

#include "clients/gem-client/gem-client-remote.h"

/* "gem-mini, gemd 0.1.0": what was measured. Waits for a model that is still loading only as long as a call
 * before it did. Transfer full; NULL with an error of the bus. */
char *
gem_bench_describe_service(GemRemote *remote, GError **error);

/* What it holds now, in bytes. */
typedef struct {
  guint64 resident;  /* weights and caches, as the service tells */
  guint64 process;   /* its process, code included; 0 when the system does not tell */
  guint descriptors; /* that its process has open; 0 when the system does not tell */
} GemBenchServiceMemory;

gboolean
gem_bench_read_service_memory(GemRemote *remote, GemBenchServiceMemory *ret_memory, GError **error);
