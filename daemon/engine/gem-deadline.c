#include "daemon/engine/gem-deadline.h"

#include "daemon/engine/gem-room.h"
#include "daemon/engine/gem-router-memory.h"
#include "dbus/gem-error.h"

/* Texts whose pathways do not fit together take turns of GEM_ROOM_STEPS: that is no waiting yet. */
#define MOST_LEFT_OUT (4 * GEM_ROOM_STEPS)

static gboolean
waits_for_memory(const GemRuntime *runtime, const GemJob *job)
{
  return job->gave_way || job->left_out > MOST_LEFT_OUT ||
         (!job->prepared && !gem_router_memory_fits(runtime, job->sequence));
}

GError *
gem_deadline_find_error(const GemRuntime *runtime, const GemJob *job, gint64 now)
{
  double waited = (double)(now - job->came) / G_USEC_PER_SEC;

  if (job->deadline == 0 || now < job->deadline) {
    return NULL;
  }
  if (waits_for_memory(runtime, job)) {
    return g_error_new(GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
                       "MemoryLimit: of %" G_GUINT64_FORMAT
                       " bytes other texts have what this one waits for, %.1f s by now",
                       runtime->budget.limit, waited);
  }
  return job->prepared ? NULL
                       : g_error_new(GEM_ERROR, GEM_ERROR_BUSY,
                                     "other texts run: this one's turn did not come in %.1f s", waited);
}
