/*
 * Whether anybody needs the service: the reasons to stay, counted by kind, and a clock that runs while there
 * is none. A reason has no name and no owner; the counts are shown with the statistics, to administrators.
 */
#pragma once

#include <gio/gio.h>

typedef enum {
  GEM_IDLE_CALLS,    /* that wait for their answer */
  GEM_IDLE_SESSIONS, /* that are open */
  GEM_IDLE_REQUESTS, /* turns that run, or whose text is still read */
  GEM_IDLE_JOBS,     /* that run */
  GEM_IDLE_HOLDS,    /* of pathways */
  GEM_IDLE_LOADING,  /* the service's first model */
  GEM_IDLE_MODEL,    /* one that LoadModel brought: the next start would not have it */
  GEM_IDLE_N_KINDS,
} GemIdleKind;

typedef struct _GemIdle GemIdle;

/* Counts calls that come over `connection` as signs of life too, whatever they ask for. `expired` is called
 * when there was no reason and no call for the time that is set, and nothing else waits in the main loop;
 * again after another such time. */
GemIdle *
gem_idle_new(GDBusConnection *connection, void (*expired)(gpointer data), gpointer data);
void
gem_idle_free(GemIdle *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemIdle, gem_idle_free)

/* 0: it never expires, which is how it begins. */
void
gem_idle_set_milliseconds(GemIdle *self, guint milliseconds);

void
gem_idle_inhibit(GemIdle *self, GemIdleKind kind);
void
gem_idle_release(GemIdle *self, GemIdleKind kind);

/* a{st}: the kinds that there are, by their names, each with its count; floating. */
GVariant *
gem_idle_describe(GemIdle *self);
