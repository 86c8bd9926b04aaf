#include "daemon/bus/gem-work.h"

struct _GemWork {
  GemIdle *idle;
  guint pieces;
  void (*none)(gpointer data);
  gpointer data;
};

GemWork *
gem_work_new(GemIdle *idle, void (*none)(gpointer data), gpointer data)
{
  GemWork *self = g_new0(GemWork, 1);

  self->idle = idle;
  self->none = none;
  self->data = data;
  return self;
}

void
gem_work_free(GemWork *self)
{
  g_free(self);
}

void
gem_work_begin(GemWork *self, GemIdleKind kind)
{
  self->pieces++;
  gem_idle_inhibit(self->idle, kind);
}

void
gem_work_end(GemWork *self, GemIdleKind kind)
{
  gem_idle_release(self->idle, kind);
  g_assert(self->pieces > 0);
  self->pieces--;
  if (self->pieces == 0) {
    self->none(self->data);
  }
}

gboolean
gem_work_is_none(const GemWork *self)
{
  return self->pieces == 0;
}
