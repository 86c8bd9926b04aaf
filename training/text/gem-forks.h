/*
 * Where the right one of a line's choices parts from others: there `gem-train pretrain
 * --choice-weight` teaches the model to tell them apart.
 */
#pragma once

#include <glib.h>

/* One place. */
typedef struct {
  guint32 at;    /* index of the right choice's token, in what the caller counts in */
  guint32 first; /* index into `others` */
  guint32 n;     /* tokens with which other choices go on: 1 or more, each once */
} GemFork;

typedef struct {
  GArray *places; /* of GemFork, by `at` */
  GArray *others; /* guint32 */
} GemForks;

GemForks *
gem_forks_new(void);
/* Wipes the tokens. */
void
gem_forks_free(GemForks *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemForks, gem_forks_free)
void
gem_forks_clear(GemForks *self);

/* The forks on the way of right[n], whose first token is counted as `at`, among `choices` (GArray of guint32
 * each, `right` among them or not). None where nothing parts. */
void
gem_forks_add_choices(GemForks *self, const GPtrArray *choices, const guint32 *right, guint32 n, guint32 at);
/* One place as it is. */
void
gem_forks_add(GemForks *self, guint32 at, const guint32 *others, guint32 n);
