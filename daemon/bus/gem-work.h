/*
 * Work that is on its way: calls that wait for their answer, turns and jobs that run. As long as there is any
 * the service stays, and its end waits for it.
 */
#pragma once

#include "daemon/bus/gem-idle.h"

typedef struct _GemWork GemWork;

/* Each piece is a reason for `idle`, which must outlive it, to stay. `none` is called whenever the last piece
 * has ended. */
GemWork *
gem_work_new(GemIdle *idle, void (*none)(gpointer data), gpointer data);
void
gem_work_free(GemWork *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemWork, gem_work_free)

void
gem_work_begin(GemWork *self, GemIdleKind kind);
void
gem_work_end(GemWork *self, GemIdleKind kind);

gboolean
gem_work_is_none(const GemWork *self);
