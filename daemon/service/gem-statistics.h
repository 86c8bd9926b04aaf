/*
 * What the service has done since it started, and what it is doing, in numbers: for Manager.Stats, which is
 * for administrators, since what others ask about is theirs. Nothing here tells of one caller, or of a text.
 */
#pragma once

#include <gio/gio.h>

#include "daemon/engine/gem-engine.h"

typedef struct _GemService GemService;
typedef struct _GemStatistics GemStatistics;

GemStatistics *
gem_statistics_new(void);
void
gem_statistics_free(GemStatistics *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemStatistics, gem_statistics_free)

/* A call was answered: `error` NULL, or one of GEM_ERROR. `method` is a static string. */
void
gem_statistics_count_call(GemStatistics *self, const char *method, const GError *error);
/* The first text of a turn came so long after its call. */
void
gem_statistics_count_first_text(GemStatistics *self, gint64 microseconds);
/* A turn of a session or of Ask has ended; `reason` is a static string. */
void
gem_statistics_count_turn(GemStatistics *self, const char *reason, const GemGenerateStats *stats);

/* A reader took nothing for too long. */
void
gem_statistics_count_dropped_reader(GemStatistics *self);

/* a{sv}, floating; see Stats in dbus/org.gemd.Gem1.Manager.xml. */
GVariant *
gem_statistics_describe(GemStatistics *self, GemService *service);
