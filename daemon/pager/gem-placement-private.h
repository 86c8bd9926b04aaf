/* What the files of the placement share. */
#pragma once

#include "daemon/pager/gem-placement-compare.h"
#include "daemon/pager/gem-placement.h"

struct GemPlacement {
  GemPlacementOptions options;
  const GemPluginLoader *loader;
  const GemShape *shape;
  char *path;           /* of the file of decisions; NULL: nothing is kept */
  char *who;            /* as its marks there call it; of this engine alone */
  gboolean declined;    /* the service ended while it tried the device: it is left alone */
  GHashTable *known;    /* name -> Known* */
  GHashTable *given_up; /* names */

  /* Of the thread that compiles and whoever asks it. */
  GMutex mutex;
  GCond changed;
  GQueue waiting;   /* of GemPlacing */
  GemPlacing *busy; /* compiled now, or compiled and not taken yet: the next one waits until it is measured */
  GThread *thread;  /* NULL until there is something to do */
  gboolean has_ended; /* it did */
  gboolean stopping;
};

struct GemPlacing {
  gatomicrefcount references; /* the thread's and the pager's */
  GemPlacement *placement;
  char *name, *identity;
  gboolean is_first; /* it was not seen to work on the device since the service began */
  GemGguf *file;
  gboolean abandoned, done; /* guarded by the placement's mutex; what follows is complete when it is done */
  GemPlacedPathway *placed;
  GemPlacementResults *results; /* what it gives there */
  char *reason;                 /* why there is none */
};

void
gem_placing_unref(GemPlacing *self);

/* Has it compiled when those before it are measured; takes a reference. FALSE: there is no thread for it. */
gboolean
gem_placement_work_add(GemPlacement *self, GemPlacing *placing);
/* It was measured, or nobody wants it any more: the next one is compiled. */
void
gem_placement_work_next(GemPlacement *self, GemPlacing *placing);
/* Ends the thread. FALSE: the device still compiles. */
gboolean
gem_placement_work_stop(GemPlacement *self, gint64 microseconds);
