/* Probes of memory: reading and copying sets of any size, by the widest loads that the processor has. */
#pragma once

#include "bench/direct/limits/gem-limits-cpu.h"
#include "bench/direct/limits/gem-limits-probe.h"

/* Room for the largest set, filled with words that are known. */
typedef struct _GemLimitsMemory GemLimitsMemory;

/* In huge pages where the system has them. `bytes`: a multiple of the page size. Errors: G_IO_ERROR_FAILED,
 * when there is not so much memory. */
GemLimitsMemory *
gem_limits_memory_new(gsize bytes, GemLimitsFeatures features, GError **error);
/* Its probes must be gone. */
void
gem_limits_memory_free(GemLimitsMemory *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLimitsMemory, gem_limits_memory_free)

/* Whether a set of so many bytes is worth dividing among so many threads: each gets its own part. */
gboolean
gem_limits_memory_can_divide(gsize bytes, guint threads);

/* Reads the first `bytes`, each thread its part, over and over: GB/s of all threads. */
GemLimitsProbe *
gem_limits_memory_new_read(const GemLimitsMemory *self, gsize bytes, guint threads);
/* Copies one half of the first `bytes` over the other with memcpy: GB that arrive a second, so that twice as
 * many go over the bus. */
GemLimitsProbe *
gem_limits_memory_new_copy(const GemLimitsMemory *self, gsize bytes, guint threads);

/* "16 KiB", "1 GiB". Transfer full. */
char *
gem_limits_memory_describe_size(gsize bytes);
