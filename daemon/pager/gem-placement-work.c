/*
 * The thread that compiles pathways for the device, one after the other, and runs each there for the first
 * time. A device that hangs, hangs here: the engine never waits for it.
 */
#include "daemon/pager/gem-placement-private.h"

#include "daemon/base/gem-device-call.h"
#include "daemon/plugin/gem-tensor-source.h"

void
gem_placed_pathway_free(GemPlacedPathway *self)
{
  if (self->pathway != NULL) {
    self->functions->close(self->pathway);
  }
  g_clear_pointer(&self->module, gem_plugin_module_close);
  g_free(self);
}

void
gem_placing_unref(GemPlacing *self)
{
  if (!g_atomic_ref_count_dec(&self->references)) {
    return;
  }
  g_clear_pointer(&self->placed, gem_placed_pathway_free);
  g_clear_pointer(&self->results, gem_placement_results_free);
  g_free(self->reason);
  g_free(self->name);
  g_free(self->identity);
  gem_gguf_unref(self->file);
  g_free(self);
}

/* Sets `placed`, or `reason`. */
static void
compile(GemPlacing *self)
{
  const GemPlacement *placement = self->placement;
  g_autoptr(GemPlacedPathway) placed = g_new0(GemPlacedPathway, 1);
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(self->file);
  g_autoptr(GError) error = NULL;
  GemPluginError reason = {0};

  placed->module = gem_plugin_loader_open(placement->loader, GEM_PLUGIN_PATHWAY, self->name, &error);
  if (placed->module == NULL) {
    self->reason = g_strdup(error->message);
  } else if (gem_plugin_module_get(placed->module)->abi_minor < 2) {
    self->reason = g_strdup("its module is of an ABI without devices");
  } else {
    placed->functions = gem_plugin_module_get(placed->module)->functions;
    placed->pathway = placed->functions->open(source, placement->shape, placement->options.device, &reason);
    if (placed->pathway == NULL) {
      self->reason = g_strdup(gem_tensor_source_explain(source, &reason));
    } else if (!gem_gguf_check_unchanged(self->file, &error)) {
      self->reason = g_strdup(error->message); /* it may have been read long after it was checked */
    } else {
      self->placed = g_steal_pointer(&placed);
    }
  }
}

/* The first run there. */
static void
try_out(GemPlacing *self)
{
  const GemPlacementSide device = {self->placement->shape, self->placed->functions, self->placed->pathway,
                                   TRUE};
  GemPluginError reason = {0};

  self->results = gem_placement_results_new(&device, &reason);
  if (self->results == NULL) {
    self->reason = g_strdup(reason.message);
    g_clear_pointer(&self->placed, gem_placed_pathway_free);
  }
}

static void
work(GemPlacing *self)
{
  const GemPlacement *placement = self->placement;
  gboolean marks = self->is_first && placement->path != NULL;

  if (marks) {
    gem_placement_decisions_mark(placement->path, placement->who, placement->options.device_identity,
                                 self->name);
  }
  compile(self);
  if (self->placed != NULL) {
    try_out(self);
  }
  if (marks) {
    gem_placement_decisions_unmark(placement->path, placement->who);
  }
}

/* With the mutex, but while it works and while what nobody wants any more is closed: both are the device's
 * code, and the engine asks for the mutex. */
static void
take_one(GemPlacement *self)
{
  GemPlacing *placing = g_queue_pop_head(&self->waiting);

  self->busy = placing;
  gem_device_call_begin();
  g_mutex_unlock(&self->mutex);
  work(placing);
  g_mutex_lock(&self->mutex);
  placing->done = TRUE;
  self->busy = placing->abandoned ? NULL : placing;
  g_cond_broadcast(&self->changed);
  g_mutex_unlock(&self->mutex);
  gem_placing_unref(placing);
  gem_device_call_end();
  g_mutex_lock(&self->mutex);
}

static gpointer
run_thread(gpointer data)
{
  GemPlacement *self = data;

  g_mutex_lock(&self->mutex);
  while (!self->stopping) {
    if (self->busy == NULL && !g_queue_is_empty(&self->waiting)) {
      take_one(self);
    } else {
      g_cond_wait(&self->changed, &self->mutex);
    }
  }
  self->has_ended = TRUE;
  g_cond_broadcast(&self->changed);
  g_mutex_unlock(&self->mutex);
  return NULL;
}

gboolean
gem_placement_work_add(GemPlacement *self, GemPlacing *placing)
{
  g_mutex_lock(&self->mutex);
  if (self->thread == NULL) {
    self->thread = g_thread_try_new("placement", run_thread, self, NULL);
  }
  gboolean has_thread = self->thread != NULL;
  if (has_thread) {
    g_atomic_ref_count_inc(&placing->references);
    g_queue_push_tail(&self->waiting, placing);
    g_cond_broadcast(&self->changed);
  }
  g_mutex_unlock(&self->mutex);
  return has_thread;
}

void
gem_placement_work_next(GemPlacement *self, GemPlacing *placing)
{
  g_mutex_lock(&self->mutex);
  placing->abandoned = TRUE;
  if (g_queue_remove(&self->waiting, placing)) {
    gem_placing_unref(placing);
  } else if (self->busy == placing && placing->done) {
    self->busy = NULL;
    g_cond_broadcast(&self->changed);
  }
  g_mutex_unlock(&self->mutex);
}

gboolean
gem_placement_work_stop(GemPlacement *self, gint64 microseconds)
{
  gint64 until = g_get_monotonic_time() + microseconds;

  g_mutex_lock(&self->mutex);
  self->stopping = TRUE;
  g_cond_broadcast(&self->changed);
  while (self->thread != NULL && !self->has_ended && g_cond_wait_until(&self->changed, &self->mutex, until)) {
  }
  gboolean ended = self->thread == NULL || self->has_ended;
  g_mutex_unlock(&self->mutex);
  if (ended && self->thread != NULL) {
    g_thread_join(g_steal_pointer(&self->thread));
  }
  return ended;
}

gboolean
gem_placing_is_done(GemPlacing *self)
{
  g_mutex_lock(&self->placement->mutex);
  gboolean done = self->done;
  g_mutex_unlock(&self->placement->mutex);
  return done;
}

gboolean
gem_placement_wait(GemPlacement *self, gint64 until)
{
  gboolean in_time = TRUE;

  g_mutex_lock(&self->mutex);
  while (in_time && (self->busy == NULL || !self->busy->done) &&
         (self->busy != NULL || !g_queue_is_empty(&self->waiting))) {
    in_time = g_cond_wait_until(&self->changed, &self->mutex, until);
  }
  g_mutex_unlock(&self->mutex);
  return in_time;
}
