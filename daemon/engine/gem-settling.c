#include "daemon/engine/gem-settling.h"

#include "daemon/engine/gem-give-way.h"
#include "daemon/engine/gem-router-memory.h"

struct GemSettling {
  GemRuntime *runtime;
  GPtrArray *jobs;
  GemJob *waiting[GEM_APPEND_MOST]; /* their next token waits to be appended */
  guint n_waiting;
  float *probabilities; /* [GEM_APPEND_MOST][GEM_MAX_PATHWAYS] of the tokens that are appended together */
};

GemSettling *
gem_settling_new(GemRuntime *runtime, GPtrArray *jobs)
{
  GemSettling *self = g_new0(GemSettling, 1);

  self->runtime = runtime;
  self->jobs = jobs;
  self->probabilities = g_new(float, (gsize)GEM_APPEND_MOST *GEM_MAX_PATHWAYS);
  return self;
}

void
gem_settling_free(GemSettling *self)
{
  g_free(self->probabilities);
  g_free(self);
}

void
gem_settling_end(GemSettling *self, GemJob *job, GError *error)
{
  guint index;

  /* There may be memory then for who gave way. */
  gem_give_way_end(self->jobs);
  if (g_ptr_array_find(self->jobs, job, &index)) {
    g_ptr_array_remove_index(self->jobs, index);
  }
  if (job->sequence != NULL) {
    job->sequence->busy = FALSE;
  }
  job->class->end(job, error);
}

gboolean
gem_settling_is_wanted(gpointer job)
{
  return !gem_job_is_cancelled(job);
}

/* Appends the tokens that wait. */
static void
append_waiting(GemSettling *self)
{
  g_autoptr(GError) error = NULL;
  GemAppend appends[GEM_APPEND_MOST];
  guint n = self->n_waiting;
  gboolean appended;

  self->n_waiting = 0;
  for (guint i = 0; i < n; i++) {
    GemJob *job = self->waiting[i];

    appends[i] = (GemAppend){
        .sequence = job->sequence,
        .tokens = &job->next,
        .n = 1,
        .routing = job->next_routing,
        .probabilities = self->probabilities + (gsize)i * GEM_MAX_PATHWAYS,
    };
    job->has_next = FALSE;
  }
  appended = n == 0 || gem_append_all(self->runtime, appends, n, &error);
  for (guint i = 0; i < n; i++) {
    GemJob *job = self->waiting[i];

    if (!appended) {
      gem_settling_end(self, job, g_error_copy(error));
      continue;
    }
    job->class->appended(job, appends[i].probabilities);
    if (job->done) {
      gem_settling_end(self, job, NULL);
    }
  }
}

/* Before the router is asked about tokens of the job. What waits is appended first: jobs whose tokens wait
 * give nothing away. */
static void
make_room_for_router(GemSettling *self, const GemJob *job)
{
  if (!job->next_routing.forced && !gem_router_memory_fits(self->runtime, job->sequence)) {
    append_waiting(self);
    gem_give_way_to_router(self->runtime, self->jobs, job);
  }
}

/* Lets the job go on until it has more tokens, or is done. FALSE: it has ended. */
static gboolean
advance(GemSettling *self, GemJob *job)
{
  GError *error = NULL;

  while (!job->done && !job->has_next && gem_sequence_state_pending(job->sequence) == 0) {
    if (job->class->give_back != NULL) {
      make_room_for_router(self, job); /* Classify appends its labels by itself */
    }
    if (!job->class->advance(job, &error)) {
      gem_settling_end(self, job, error);
      return FALSE;
    }
  }
  return TRUE;
}

/* A turn at work whose router's memory went, while it was paused or with the older half of its tokens. FALSE:
 * it has ended. */
static gboolean
restore_router(GemSettling *self, GemJob *job)
{
  GError *error = NULL;
  gboolean there;

  if (job->next_routing.forced) {
    return TRUE;
  }
  make_room_for_router(self, job);
  self->runtime->go_on = gem_settling_is_wanted;
  self->runtime->go_on_data = job;
  there = gem_router_memory_need(self->runtime, job->sequence, &error);
  self->runtime->go_on = NULL;
  if (!there) {
    gem_settling_end(self, job, error);
  }
  return there;
}

static void
go_on_one(GemSettling *self, GemJob *job)
{
  if (!advance(self, job)) {
    return;
  }
  if (job->has_next) {
    if (restore_router(self, job)) {
      self->waiting[self->n_waiting++] = job;
    }
  } else if (job->done) {
    gem_settling_end(self, job, NULL);
  }
}

void
gem_settling_go_on(GemSettling *self, GemJob *const *jobs, guint n)
{
  for (guint i = 0; i < n; i++) {
    go_on_one(self, jobs[i]);
    if (self->n_waiting == GEM_APPEND_MOST) {
      append_waiting(self);
    }
  }
  append_waiting(self);
}
