#include "daemon/service/gem-model-host.h"

struct _GemModelHost {
  GemModelState state;
  GemConfig *config;
  GemServedModel *model; /* NULL unless ready */
  GPtrArray *retired;    /* of GemServedModel: on which something may still run */
  GError *error;
  double load_seconds;
  gint64 started;          /* monotonic, us */
  GPtrArray *waiting;      /* of Waiting */
  GCancellable *abandoned; /* cancelled when nobody wants the result any more */
};

typedef struct {
  GemModelSettled done;
  gpointer data;
} Waiting;

/* What to load, named as in the configuration, whose own name of it may change meanwhile. */
typedef struct {
  GemConfig *config;
  char *model;
} Order;

static void
order_free(gpointer data)
{
  Order *order = data;

  gem_config_unref(order->config);
  g_free(order->model);
  g_free(order);
}

/* On the loading thread. It has no main context of its own, so the engine's callbacks come to the main loop.
 */
static void
load(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Order *order = data;
  const GemConfig *config = order->config;
  g_autoptr(GError) error = NULL;
  g_autofree char *path = gem_config_find_model(config, order->model, &error);
  GemEngine *engine = NULL;

  if (path != NULL) {
    engine = gem_engine_new(
        &(GemEngineConfig){
            .model_path = path,
            .cache_dir = config->cache_dir,
            .plugin_dirs = (const char *const *)config->plugin_dirs,
            .backend = config->backend,
            .threads = config->threads,
            .attention = config->attention,
            .clusters = (gint)config->clusters,
            .threshold_percent = config->threshold_percent,
            .context = config->context_tokens,
            .kv_half = config->kv_half,
            .prefill_block = config->prefill_block,
            /* Quotas bound them, and those can change while the engine runs. */
            .max_sequences = GEM_CONFIG_MOST_SESSIONS + GEM_CONFIG_MOST_ASKS,
        },
        &error);
  }
  if (engine != NULL) {
    g_task_return_pointer(task, engine, g_object_unref);
  } else {
    g_task_return_error(task, g_steal_pointer(&error));
  }
}

static void
host_settle(GemModelHost *self)
{
  g_autoptr(GPtrArray) waiting = self->waiting;

  self->waiting = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < waiting->len; i++) {
    const Waiting *one = g_ptr_array_index(waiting, i);

    one->done(one->data);
  }
}

/* On a thread; cancelling only means that nobody wants the result any more. */
static void
start_loading(GemConfig *config,
              const char *model,
              GCancellable *cancellable,
              GAsyncReadyCallback callback,
              gpointer data)
{
  g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, data);
  Order *order = g_new(Order, 1);

  *order = (Order){gem_config_ref(config), g_strdup(model)};
  g_task_set_check_cancellable(task, FALSE);
  g_task_set_task_data(task, order, order_free);
  g_task_run_in_thread(task, load);
}

static void
on_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
  GemModelHost *self = data;
  g_autoptr(GError) error = NULL;
  GemEngine *engine;

  /* Cancelled: the host is gone, or stopped. */
  if (g_cancellable_is_cancelled(g_task_get_cancellable(G_TASK(result)))) {
    engine = g_task_propagate_pointer(G_TASK(result), NULL);
    g_clear_object(&engine);
    return;
  }
  engine = g_task_propagate_pointer(G_TASK(result), &error);
  self->load_seconds = (double)(g_get_monotonic_time() - self->started) / G_USEC_PER_SEC;
  if (engine != NULL) {
    self->model = gem_served_model_new(engine);
    self->state = GEM_MODEL_READY;
  } else {
    self->error =
        g_error_new(GEM_ERROR, GEM_ERROR_NOT_READY, "the model could not be loaded: %s", error->message);
    self->state = GEM_MODEL_FAILED;
  }
  host_settle(self);
}

GemModelHost *
gem_model_host_new(GemConfig *config)
{
  GemModelHost *self = g_new0(GemModelHost, 1);

  self->config = gem_config_ref(config);
  self->retired = g_ptr_array_new_with_free_func((GDestroyNotify)gem_served_model_unref);
  self->waiting = g_ptr_array_new_with_free_func(g_free);
  self->started = g_get_monotonic_time();
  self->abandoned = g_cancellable_new();
  start_loading(config, config->model, self->abandoned, on_loaded, self);
  return self;
}

void
gem_model_host_free(GemModelHost *self)
{
  gem_model_host_stop(self);
  g_clear_pointer(&self->model, gem_served_model_unref);
  g_ptr_array_unref(self->retired);
  gem_config_unref(self->config);
  g_clear_error(&self->error);
  g_ptr_array_unref(self->waiting);
  g_object_unref(self->abandoned);
  g_free(self);
}

GemModelState
gem_model_host_get_state(GemModelHost *self)
{
  return self->state;
}

const char *
gem_model_host_get_state_name(GemModelHost *self)
{
  static const char *const names[] = {"loading", "ready", "failed"};

  return names[self->state];
}

GemEngine *
gem_model_host_get_engine(GemModelHost *self)
{
  return self->model != NULL ? gem_served_model_get_engine(self->model) : NULL;
}

GemServedModel *
gem_model_host_get_model(GemModelHost *self)
{
  return self->model;
}

GPtrArray *
gem_model_host_list_engines(GemModelHost *self)
{
  GPtrArray *engines = g_ptr_array_new_with_free_func(g_object_unref);

  if (self->model != NULL) {
    g_ptr_array_add(engines, g_object_ref(gem_served_model_get_engine(self->model)));
  }
  for (guint i = 0; i < self->retired->len; i++) {
    g_ptr_array_add(engines, g_object_ref(gem_served_model_get_engine(self->retired->pdata[i])));
  }
  return engines;
}

const GError *
gem_model_host_get_error(GemModelHost *self)
{
  return self->error;
}

double
gem_model_host_get_load_seconds(GemModelHost *self)
{
  return self->load_seconds;
}

void
gem_model_host_when_settled(GemModelHost *self, GemModelSettled done, gpointer data)
{
  Waiting *waiting;

  if (self->state != GEM_MODEL_LOADING) {
    done(data);
    return;
  }
  waiting = g_new(Waiting, 1);
  *waiting = (Waiting){done, data};
  g_ptr_array_add(self->waiting, waiting);
}

void
gem_model_host_forget(GemModelHost *self, gpointer data)
{
  for (guint i = self->waiting->len; i-- > 0;) {
    if (((const Waiting *)self->waiting->pdata[i])->data == data) {
      g_ptr_array_remove_index(self->waiting, i);
    }
  }
}

/* ---- another model ---- */

void
gem_model_host_load_async(GemModelHost *self,
                          const char *path,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  start_loading(self->config, path, cancellable, callback, data);
}

GemEngine *
gem_model_host_load_finish(GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer(G_TASK(result), error);
}

static void
on_gone(GemServedModel *model, gpointer data)
{
  GemModelHost *self = data;

  g_ptr_array_remove_fast(self->retired, model);
}

void
gem_model_host_replace(GemModelHost *self, GemEngine *engine, double load_seconds, guint grace_seconds)
{
  GemServedModel *old = self->model;

  g_return_if_fail(self->state != GEM_MODEL_LOADING);
  self->model = gem_served_model_new(engine);
  self->load_seconds = load_seconds;
  self->state = GEM_MODEL_READY;
  g_clear_error(&self->error);
  if (old != NULL) {
    g_ptr_array_add(self->retired, old);
    gem_served_model_retire(old, grace_seconds, on_gone, self);
  }
}

void
gem_model_host_stop(GemModelHost *self)
{
  g_cancellable_cancel(self->abandoned);
  for (guint i = 0; i < self->retired->len; i++) {
    gem_served_model_stop(g_ptr_array_index(self->retired, i));
  }
  if (self->model != NULL) {
    gem_served_model_stop(self->model);
  }
  if (self->state == GEM_MODEL_LOADING) {
    self->state = GEM_MODEL_FAILED;
    self->error = g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops");
    host_settle(self);
  }
}
