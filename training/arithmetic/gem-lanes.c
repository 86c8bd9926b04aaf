#include "training/arithmetic/gem-lanes.h"

struct _GemLanes {
  guint lanes;
  GThread **threads; /* [lanes], the first is unused */
  GMutex lock;
  GCond start, done;
  guint64 round; /* counts runs; a lane works when it sees a new one */
  guint running;
  gboolean ending;
  GemLaneFunction function;
  gpointer data;
};

typedef struct {
  GemLanes *lanes;
  guint lane;
} LaneStart;

static gpointer
lane_main(gpointer data)
{
  g_autofree LaneStart *own = data;
  GemLanes *self = own->lanes;
  guint64 seen = 0;
  g_mutex_lock(&self->lock);
  for (;;) {
    while (self->round == seen && !self->ending) {
      g_cond_wait(&self->start, &self->lock);
    }
    if (self->ending) {
      break;
    }
    seen = self->round;
    g_mutex_unlock(&self->lock);
    self->function(own->lane, self->data);
    g_mutex_lock(&self->lock);
    if (--self->running == 0) {
      g_cond_signal(&self->done);
    }
  }
  g_mutex_unlock(&self->lock);
  return NULL;
}

GemLanes *
gem_lanes_new(guint lanes)
{
  GemLanes *self = g_new0(GemLanes, 1);
  self->lanes = lanes;
  self->threads = g_new0(GThread *, lanes);
  g_mutex_init(&self->lock);
  g_cond_init(&self->start);
  g_cond_init(&self->done);
  for (guint lane = 1; lane < lanes; lane++) {
    LaneStart *own = g_new(LaneStart, 1);
    *own = (LaneStart){self, lane};
    self->threads[lane] = g_thread_new("lane", lane_main, own);
  }
  return self;
}

void
gem_lanes_free(GemLanes *self)
{
  g_mutex_lock(&self->lock);
  self->ending = TRUE;
  g_cond_broadcast(&self->start);
  g_mutex_unlock(&self->lock);
  for (guint lane = 1; lane < self->lanes; lane++) {
    g_thread_join(self->threads[lane]);
  }
  g_mutex_clear(&self->lock);
  g_cond_clear(&self->start);
  g_cond_clear(&self->done);
  g_free(self->threads);
  g_free(self);
}

guint
gem_lanes_count(const GemLanes *self)
{
  return self->lanes;
}

void
gem_lanes_run(GemLanes *self, GemLaneFunction function, gpointer data)
{
  g_mutex_lock(&self->lock);
  self->function = function;
  self->data = data;
  self->running = self->lanes - 1;
  self->round++;
  g_cond_broadcast(&self->start);
  g_mutex_unlock(&self->lock);
  function(0, data);
  g_mutex_lock(&self->lock);
  while (self->running > 0) {
    g_cond_wait(&self->done, &self->lock);
  }
  g_mutex_unlock(&self->lock);
}

void
gem_lanes_range(const GemLanes *self, guint lane, gsize total, gsize *ret_first, gsize *ret_end)
{
  gsize each = (total / self->lanes + 63) / 64 * 64;
  *ret_first = MIN(each * lane, total);
  *ret_end = lane + 1 == self->lanes ? total : MIN(each * (lane + 1), total);
}
