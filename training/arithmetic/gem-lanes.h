/* A fixed number of threads that run one function side by side and meet at its end. Lane 0 is the calling
 * thread. */
#pragma once

#include <glib.h>

typedef struct _GemLanes GemLanes;
typedef void (*GemLaneFunction)(guint lane, gpointer data);

GemLanes *
gem_lanes_new(guint lanes);
void
gem_lanes_free(GemLanes *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLanes, gem_lanes_free)
guint
gem_lanes_count(const GemLanes *self);

/* Runs function(lane, data) in every lane; returns when all are done. */
void
gem_lanes_run(GemLanes *self, GemLaneFunction function, gpointer data);

/* The lane's part of 0 .. total, in whole multiples of 64. */
void
gem_lanes_range(const GemLanes *self, guint lane, gsize total, gsize *ret_first, gsize *ret_end);
