#include "daemon/service/gem-served-model.h"

struct _GemServedModel {
  GemEngine *engine;
  guint work;  /* calls and turns that run on it */
  guint grace; /* source: what still runs is ended */
  gboolean retired;
  gboolean leaving; /* the engine was told to stop */
  GemServedModelGone gone;
  gpointer data;
};

GemServedModel *
gem_served_model_new(GemEngine *engine)
{
  GemServedModel *self = g_rc_box_new0(GemServedModel);

  self->engine = engine;
  return self;
}

GemServedModel *
gem_served_model_ref(GemServedModel *self)
{
  return g_rc_box_acquire(self);
}

static void
served_model_clear(gpointer data)
{
  GemServedModel *self = data;

  g_clear_handle_id(&self->grace, g_source_remove);
  g_object_unref(self->engine);
}

void
gem_served_model_unref(GemServedModel *self)
{
  g_rc_box_release_full(self, served_model_clear);
}

GemEngine *
gem_served_model_get_engine(GemServedModel *self)
{
  return self->engine;
}

static void
on_stopped(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemServedModel) self = data;

  gem_engine_stop_finish(GEM_ENGINE(source), result);
  if (self->gone != NULL) {
    self->gone(self, self->data);
  }
}

static void
leave(GemServedModel *self)
{
  if (!self->leaving) {
    self->leaving = TRUE;
    g_clear_handle_id(&self->grace, g_source_remove);
    gem_engine_stop_async(self->engine, on_stopped, gem_served_model_ref(self));
  }
}

static gboolean
on_grace_over(gpointer data)
{
  GemServedModel *self = data;

  self->grace = 0;
  leave(self);
  return G_SOURCE_REMOVE;
}

void
gem_served_model_begin_work(GemServedModel *self)
{
  self->work++;
}

void
gem_served_model_end_work(GemServedModel *self)
{
  g_assert(self->work > 0);
  self->work--;
  if (self->work == 0 && self->retired) {
    leave(self);
  }
}

void
gem_served_model_retire(GemServedModel *self, guint grace_seconds, GemServedModelGone gone, gpointer data)
{
  g_return_if_fail(!self->retired);
  self->retired = TRUE;
  self->gone = gone;
  self->data = data;
  if (self->work == 0) {
    leave(self);
  } else {
    self->grace = g_timeout_add_seconds(grace_seconds, on_grace_over, self);
  }
}

gboolean
gem_served_model_is_retired(GemServedModel *self)
{
  return self->retired;
}

GError *
gem_served_model_changed_error(void)
{
  return g_error_new_literal(GEM_ERROR, GEM_ERROR_MODEL_CHANGED,
                             "the service runs another model now; a new session runs on that");
}

void
gem_served_model_stop(GemServedModel *self)
{
  self->leaving = TRUE;
  self->gone = NULL;
  g_clear_handle_id(&self->grace, g_source_remove);
  gem_engine_stop(self->engine);
}
