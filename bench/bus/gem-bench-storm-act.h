/* One thing that a client of a storm does, from its first call to the last thing that it is owed. */
#pragma once

#include "bench/bus/gem-bench-storm-private.h"

typedef struct _GemStormAct GemStormAct;

/* Called once, when nothing is owed any more; not for an act that was given up. */
typedef void (*GemStormActOver)(GemStormOutcome outcome, gpointer data);

/* Rolls what to do. `mangled` and `serial` make the paths of requests; calls that are on their way hold
 * references of their own. */
GemStormAct *
gem_storm_act_new(GemStorm *storm,
                  GDBusConnection *bus,
                  const char *mangled,
                  guint serial,
                  GRand *random,
                  GemStormActOver over,
                  gpointer data);
void
gem_storm_act_unref(GemStormAct *self);

/* Sends its first call. */
void
gem_storm_act_begin(GemStormAct *self);

/* Request.Finished came to the client's connection; it may be another act's. */
void
gem_storm_act_finished(GemStormAct *self, const char *path, GVariant *parameters);
/* The service left the bus: what it has not said by now it never will. */
void
gem_storm_act_service_left(GemStormAct *self);
/* The storm waits no more: what is owed is lost. */
void
gem_storm_act_give_up(GemStormAct *self);

/* Whether it closed the client's connection. */
gboolean
gem_storm_act_has_vanished(const GemStormAct *self);
