/* What the engine gives back when memory is short, and what it says of it. */
#include <malloc.h>

#include "daemon/engine/gem-engine-private.h"
#include "daemon/engine/gem-room.h"

void
gem_engine_get_counters(GemEngine *self, GemEngineCounters *ret_counters)
{
  g_mutex_lock(&self->mutex);
  *ret_counters = self->counters;
  g_mutex_unlock(&self->mutex);
}

guint64
gem_engine_get_fixed_bytes(GemEngine *self)
{
  return self->fixed_bytes;
}

static void
run_limit(GemEngine *self, gpointer data)
{
  g_autofree guint64 *bytes = data;

  gem_room_set_limit(self->runtime, *bytes);
  malloc_trim(0);
}

void
gem_engine_set_memory_limit(GemEngine *self, guint64 bytes)
{
  if (gem_engine_check_running(self, NULL)) {
    gem_engine_push(self, run_limit, g_memdup2(&bytes, sizeof bytes));
  }
}

void
gem_engine_set_page_in(GemEngine *self, GemPageIn page_in)
{
  self->page_in = page_in;
}

/* ---- relief, on the engine thread ---- */

static void
drop_idle_caches(GemEngine *self)
{
  for (guint i = 0; i < self->runtime->conversations->len; i++) {
    GemSequenceState *state = self->runtime->conversations->pdata[i];

    if (gem_sequence_state_get_spare_bytes(self->runtime, state) > 0) {
      gem_sequence_state_drop_memory(self->runtime, state);
      self->runtime->counters.cache_drops_relief++;
    }
  }
}

/* Returns the bytes that went. */
static guint64
relieve(GemEngine *self, GemRelief step)
{
  GemRuntime *runtime = self->runtime;
  GemPathwaySet needed = gem_scheduler_find_pathways(self->scheduler) | gem_pager_get_kept(runtime->pager);
  gsize before = gem_runtime_bytes(runtime);
  guint64 freed;

  gem_pager_set_read_ahead(runtime->pager, step == GEM_RELIEF_OVER);
  if (step == GEM_RELIEF_OVER) {
    gem_pager_place_again(runtime->pager);
  }
  if (step >= GEM_RELIEF_COLD_PATHWAYS) {
    gem_pager_drop_copies(runtime->pager);
    gem_pager_page_out_others(runtime->pager, step < GEM_RELIEF_ALL_BUT_GENERAL ? needed : 0,
                              GEM_PAGE_OUT_RELIEF);
  }
  if (step >= GEM_RELIEF_IDLE_CACHES) {
    drop_idle_caches(self);
  }
  freed = before - gem_runtime_bytes(runtime);
  if (step >= GEM_RELIEF_COLD_PATHWAYS) {
    malloc_trim(0);
  }
  runtime->counters.relief_steps[step]++;
  runtime->counters.relief_bytes += freed;
  return freed;
}

typedef struct {
  GTask *task;
  GemRelief step;
} Relief;

static void
run_relief(GemEngine *self, gpointer data)
{
  g_autofree Relief *relief = data;
  GCancellable *cancellable = g_task_get_cancellable(relief->task);
  guint64 *freed;

  if (cancellable != NULL && g_cancellable_is_cancelled(cancellable)) {
    gem_engine_return(self, relief->task, NULL, NULL,
                      g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled"));
    return;
  }
  freed = g_new(guint64, 1);
  *freed = relieve(self, relief->step);
  gem_engine_publish(self);
  gem_engine_return(self, relief->task, freed, g_free, NULL);
}

void
gem_engine_relieve_async(
    GemEngine *self, GemRelief step, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);
  GError *error = NULL;
  Relief *relief;

  g_return_if_fail(step >= GEM_RELIEF_OVER && step <= GEM_RELIEF_ALL_BUT_GENERAL);
  g_task_set_source_tag(task, gem_engine_relieve_async);
  g_task_set_check_cancellable(task, FALSE);
  if (!gem_engine_check_running(self, &error)) {
    g_task_return_error(task, error);
    return;
  }
  relief = g_new(Relief, 1);
  *relief = (Relief){.task = g_steal_pointer(&task), .step = step};
  gem_engine_push(self, run_relief, relief);
}

gboolean
gem_engine_relieve_finish(GemEngine *self, GAsyncResult *result, guint64 *ret_freed_bytes, GError **error)
{
  g_autofree guint64 *freed = NULL;

  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  freed = g_task_propagate_pointer(G_TASK(result), error);
  if (freed == NULL) {
    return FALSE;
  }
  if (ret_freed_bytes != NULL) {
    *ret_freed_bytes = *freed;
  }
  return TRUE;
}
