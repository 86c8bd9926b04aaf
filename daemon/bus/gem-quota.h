/*
 * Quotas: how much of each kind one user has in use, and all of them together. A holder (a call, a session, a
 * turn) notes in its GemQuotaHold what it took, so that whatever way it ends gives back exactly that. All on
 * the main loop.
 */
#pragma once

#include "daemon/base/gem-config.h"

typedef enum {
  GEM_QUOTA_SESSIONS, /* open */
  GEM_QUOTA_REQUESTS, /* turns that the engine works on or that wait for it */
  GEM_QUOTA_STREAMS,  /* pipes whose reader has not taken everything */
  GEM_QUOTA_TOKENS,   /* of turns that run: of the prompt, and as many as the answer may have */
  GEM_QUOTA_KV_CACHE, /* bytes of keys and values */
  GEM_QUOTA_CALLS,    /* that wait for their answer */
  GEM_QUOTA_HOLDS,    /* on pathways, see gem-holds.h */
  GEM_QUOTA_KINDS,
} GemQuotaKind;

/* What is in use, by kind. */
typedef struct {
  guint64 amounts[GEM_QUOTA_KINDS];
} GemQuotaUse;

/* What one holder took: zeroed, it holds nothing and has nobody to take from. */
typedef struct {
  const GemConfig *config;
  GemQuotaUse *user, *all; /* outlive it */
  GemQuotaUse own;
} GemQuotaHold;

void
gem_quota_hold_init(GemQuotaHold *self, const GemConfig *config, GemQuotaUse *user, GemQuotaUse *all);
/* Gives everything back. */
void
gem_quota_hold_clear(GemQuotaHold *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemQuotaHold, gem_quota_hold_clear)

/* So much more. Errors: LIMIT_EXCEEDED with the key of gemd.conf, what is in use and what is allowed; then
 * nothing was taken. */
gboolean
gem_quota_take(GemQuotaHold *self, GemQuotaKind kind, guint64 amount, GError **error);
guint64
gem_quota_get(const GemQuotaHold *self, GemQuotaKind kind);
/* So much in all, which is less than it holds, or is there already: no limit is looked at. */
void
gem_quota_set(GemQuotaHold *self, GemQuotaKind kind, guint64 amount);
/* All of that kind. */
void
gem_quota_give(GemQuotaHold *self, GemQuotaKind kind);
/* All of that kind becomes another holder's, of the same user. */
void
gem_quota_move(GemQuotaHold *from, GemQuotaHold *to, GemQuotaKind kind);

/* Whether `amount` more than `in_use` is within `limit`, which `key` of gemd.conf says; the error above. */
gboolean
gem_quota_check(const char *key, guint64 in_use, guint64 amount, guint64 limit, GError **error);
