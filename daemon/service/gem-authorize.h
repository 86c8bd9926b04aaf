/*
 * Who may administrate: the superuser, the service's own user, and whom polkit lets. Without a polkit on the
 * bus, or without an answer from it, nobody else.
 */
#pragma once

#include "daemon/service/gem-call.h"

/* Actions, as dbus/org.gemd.Gem1.policy declares them. */
#define GEM_ACTION_MANAGE_PATHWAYS "org.gemd.Gem1.manage-pathways"
#define GEM_ACTION_LOAD_MODEL      "org.gemd.Gem1.load-model"
#define GEM_ACTION_READ_STATISTICS "org.gemd.Gem1.read-statistics"
#define GEM_ACTION_ADAPT_DOMAIN    "org.gemd.Gem1.adapt-domain"
#define GEM_ACTION_SHARE_DOMAIN    "org.gemd.Gem1.share-domain"

/* Goes on with `run` when the caller may do `action`; else the call fails with GEM_ERROR_NOT_AUTHORIZED. The
 * user is only asked for a password when the caller's message allows that, and has two minutes to type it.
 * Never blocks; a caller that leaves meanwhile is refused, and the question withdrawn; so it is when the
 * service stops, and the call fails with GEM_ERROR_SHUTTING_DOWN. */
void
gem_authorize(GemCall *call, const char *action, GemCallRun run);
