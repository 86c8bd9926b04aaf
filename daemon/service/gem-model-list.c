#include "daemon/service/gem-model-list.h"

#include <gio/gio.h>

struct _GemModelList {
  GemConfig *config;
  void (*changed)(gpointer data);
  gpointer data;
  GStrv names;
  GPtrArray *monitors;     /* of GFileMonitor */
  GCancellable *abandoned; /* cancelled when nobody wants the names any more */
  gboolean reading, again; /* on the thread; and once more, since something changed meanwhile */
};

static void
list_read(GemModelList *self);

static void
read_folders(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_pointer(task, gem_config_list_models(data), (GDestroyNotify)g_strfreev);
}

static void
on_read(GObject *source, GAsyncResult *result, gpointer data)
{
  GemModelList *self = data;
  g_auto(GStrv) names = g_task_propagate_pointer(G_TASK(result), NULL);

  if (names == NULL) {
    return; /* cancelled: `self` is gone */
  }
  self->reading = FALSE;
  if (self->again) {
    self->again = FALSE;
    list_read(self);
  }
  if (!g_strv_equal((const char *const *)names, (const char *const *)self->names)) {
    g_strfreev(self->names);
    self->names = g_steal_pointer(&names);
    self->changed(self->data);
  }
}

static void
list_read(GemModelList *self)
{
  g_autoptr(GTask) task = NULL;

  if (self->reading) {
    self->again = TRUE;
    return;
  }
  self->reading = TRUE;
  task = g_task_new(NULL, self->abandoned, on_read, self);
  g_task_set_task_data(task, gem_config_ref(self->config), (GDestroyNotify)gem_config_unref);
  g_task_run_in_thread(task, read_folders);
}

static void
on_changed(GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer data)
{
  list_read(data);
}

static void
list_watch(GemModelList *self, const char *dir)
{
  g_autoptr(GFile) file = g_file_new_for_path(dir);
  g_autoptr(GError) error = NULL;
  GFileMonitor *monitor = g_file_monitor_directory(file, G_FILE_MONITOR_NONE, NULL, &error);

  if (monitor == NULL) {
    g_debug("%s is not watched, models that come there are told with the next start: %s", dir,
            error->message);
    return;
  }
  g_signal_connect(monitor, "changed", G_CALLBACK(on_changed), self);
  g_ptr_array_add(self->monitors, monitor);
}

GemModelList *
gem_model_list_new(GemConfig *config, void (*changed)(gpointer data), gpointer data)
{
  GemModelList *self = g_new0(GemModelList, 1);

  self->config = gem_config_ref(config);
  self->changed = changed;
  self->data = data;
  self->abandoned = g_cancellable_new();
  self->monitors = g_ptr_array_new_with_free_func(g_object_unref);
  /* Watched first: what comes in between is seen twice. */
  for (gsize i = 0; config->model_dirs != NULL && config->model_dirs[i] != NULL; i++) {
    list_watch(self, config->model_dirs[i]);
  }
  self->names = gem_config_list_models(config);
  return self;
}

void
gem_model_list_free(GemModelList *self)
{
  g_cancellable_cancel(self->abandoned);
  for (guint i = 0; i < self->monitors->len; i++) {
    g_signal_handlers_disconnect_by_data(self->monitors->pdata[i], self);
  }
  g_ptr_array_unref(self->monitors);
  g_object_unref(self->abandoned);
  g_strfreev(self->names);
  gem_config_unref(self->config);
  g_free(self);
}

const char *const *
gem_model_list_get(const GemModelList *self)
{
  return (const char *const *)self->names;
}
