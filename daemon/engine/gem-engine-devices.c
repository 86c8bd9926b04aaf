/* Devices that could not be used when the model was loaded, or failed since. */
#include "daemon/engine/gem-engine-private.h"

static void
run_try_again(GemEngine *self, gpointer data)
{
  gem_placement_try_again(self->runtime->placement);
  gem_pager_place_again(self->runtime->pager);
}

void
gem_engine_try_devices_again(GemEngine *self)
{
  if (gem_engine_check_running(self, NULL)) {
    gem_engine_push(self, run_try_again, NULL);
  }
}

/* On a thread of its own: a device that hangs when it is asked keeps nobody waiting. */
static void
look(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const GemEngine *self = source;
  g_autoptr(GemPluginLoader) loader = gem_plugin_loader_new((const char *const *)self->plugin_dirs);
  gboolean found = FALSE;

  for (guint i = 0; !found && i < self->backends->len; i++) {
    const GemBackendInfo *info = self->backends->pdata[i];

    found = info->deferred && (self->backend == NULL || g_str_equal(self->backend, info->name)) &&
            gem_backend_set_is_there(loader, info->name);
  }
  g_task_return_boolean(task, found);
}

void
gem_engine_look_for_devices_async(GemEngine *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

  g_task_set_source_tag(task, gem_engine_look_for_devices_async);
  g_task_run_in_thread(task, look);
}

gboolean
gem_engine_look_for_devices_finish(GemEngine *self, GAsyncResult *result)
{
  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  return g_task_propagate_boolean(G_TASK(result), NULL);
}
