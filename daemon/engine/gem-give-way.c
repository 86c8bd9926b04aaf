#include "daemon/engine/gem-give-way.h"

#include "daemon/engine/gem-router-memory.h"

GemJob *
gem_give_way_find_first(const GPtrArray *jobs, GPtrArray *active)
{
  GemJob *first = NULL;

  for (guint i = 0; i < jobs->len; i++) {
    GemJob *job = jobs->pdata[i];

    if (g_ptr_array_find(active, job, NULL) && (first == NULL || (first->batch && !job->batch))) {
      first = job;
    }
  }
  return first;
}

/* A token that waits to be appended needs what the router remembers, now. */
static gboolean
can_give_way(const GemRuntime *runtime, const GemJob *job)
{
  return job->sequence != NULL && !job->has_next && gem_sequence_state_get_bytes(runtime, job->sequence) > 0;
}

static gboolean
give_back_any(const GPtrArray *jobs)
{
  for (guint i = 0; i < jobs->len; i++) {
    GemJob *job = jobs->pdata[i];

    if (job->class->give_back != NULL && job->class->give_back(job)) {
      return TRUE;
    }
  }
  return FALSE;
}

gboolean
gem_give_way(GemRuntime *runtime, const GPtrArray *jobs, const GemJob *job)
{
  GemJob *found = NULL;

  if (give_back_any(jobs)) {
    return TRUE;
  }
  for (guint i = 0; i < jobs->len; i++) {
    GemJob *other = jobs->pdata[i];

    if (other != job && can_give_way(runtime, other) && (found == NULL || other->batch || !found->batch)) {
      found = other;
    }
  }
  if (found == NULL) {
    return FALSE;
  }
  found->gave_way = TRUE;
  /* What was put out is not put out again. */
  found->outputs_from = MAX(found->outputs_from, found->sequence->cached);
  gem_sequence_state_drop_memory(runtime, found->sequence);
  runtime->counters.cache_drops_budget++;
  return TRUE;
}

void
gem_give_way_end(const GPtrArray *jobs)
{
  for (guint i = 0; i < jobs->len; i++) {
    ((GemJob *)jobs->pdata[i])->gave_way = FALSE;
  }
}

void
gem_give_way_to_router(GemRuntime *runtime, const GPtrArray *jobs, const GemJob *job)
{
  while (!job->next_routing.forced && !gem_router_memory_fits(runtime, job->sequence) &&
         gem_give_way(runtime, jobs, job)) {
  }
}
