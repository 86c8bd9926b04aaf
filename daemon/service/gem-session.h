/*
 * org.gemd.Gem1.Session: conversations. Each belongs to the connection that made it and is closed when that
 * leaves the bus; to anyone else it does not exist.
 */
#pragma once

#include "daemon/service/gem-request.h"

typedef struct _GemSessions GemSessions;

/* Exports the tree of sessions. */
GemSessions *
gem_sessions_new(GemService *service, GemRequests *requests, GError **error);
/* Closes all. */
void
gem_sessions_free(GemSessions *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemSessions, gem_sessions_free)

/* Manager.CreateSession: a GemCallRun. */
void
gem_session_create_run(GemCall *call);
