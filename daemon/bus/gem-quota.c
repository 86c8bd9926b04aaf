#include "daemon/bus/gem-quota.h"

#include "dbus/gem-error.h"

typedef struct {
  const char *key; /* of gemd.conf */
  gsize offset;    /* of the member in GemConfig */
} Limit;

#define LIMIT(key, member)                                                                                   \
  {                                                                                                          \
    (key), G_STRUCT_OFFSET(GemConfig, member)                                                                \
  }

/* Of one user, and of all. Those of the cache are guint64 in GemConfig, the others guint. */
static const struct {
  Limit user, all;
} limits[GEM_QUOTA_KINDS] = {
    [GEM_QUOTA_SESSIONS] = {LIMIT("MaxSessionsPerUser", max_sessions_per_user),
                            LIMIT("MaxSessions", max_sessions)},
    [GEM_QUOTA_REQUESTS] = {LIMIT("MaxRequestsPerUser", max_requests_per_user),
                            LIMIT("MaxRequests", max_requests)},
    [GEM_QUOTA_STREAMS] = {LIMIT("MaxStreamsPerUser", max_streams_per_user),
                           LIMIT("MaxStreams", max_streams)},
    [GEM_QUOTA_TOKENS] = {LIMIT("MaxTokensPerUser", max_tokens_per_user), LIMIT("MaxTokens", max_tokens)},
    [GEM_QUOTA_KV_CACHE] = {LIMIT("MaxKvCachePerUser", max_kv_cache_per_user),
                            LIMIT("MaxKvCache", max_kv_cache)},
    [GEM_QUOTA_CALLS] = {LIMIT("MaxCallsPerUser", max_calls_per_user), LIMIT("MaxCalls", max_calls)},
    [GEM_QUOTA_HOLDS] = {LIMIT("MaxHoldsPerUser", max_holds_per_user), LIMIT("MaxHolds", max_holds)},
};

static guint64
value_of(const GemConfig *config, GemQuotaKind kind, const Limit *limit)
{
  gconstpointer member = (const guint8 *)config + limit->offset;

  return kind == GEM_QUOTA_KV_CACHE ? *(const guint64 *)member : *(const guint *)member;
}

gboolean
gem_quota_check(const char *key, guint64 in_use, guint64 amount, guint64 limit, GError **error)
{
  if (amount <= limit && in_use <= limit - amount) {
    return TRUE;
  }
  if (amount == 1) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
                "%s: %" G_GUINT64_FORMAT " are in use, %" G_GUINT64_FORMAT " are allowed", key, in_use,
                limit);
  } else {
    g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
                "%s: %" G_GUINT64_FORMAT " are in use, %" G_GUINT64_FORMAT
                " more are wanted, %" G_GUINT64_FORMAT " are allowed",
                key, in_use, amount, limit);
  }
  return FALSE;
}

void
gem_quota_hold_init(GemQuotaHold *self, const GemConfig *config, GemQuotaUse *user, GemQuotaUse *all)
{
  *self = (GemQuotaHold){.config = config, .user = user, .all = all};
}

void
gem_quota_hold_clear(GemQuotaHold *self)
{
  for (guint kind = 0; self->user != NULL && kind < GEM_QUOTA_KINDS; kind++) {
    gem_quota_give(self, kind);
  }
}

gboolean
gem_quota_take(GemQuotaHold *self, GemQuotaKind kind, guint64 amount, GError **error)
{
  const Limit *user = &limits[kind].user;
  const Limit *all = &limits[kind].all;

  if (!gem_quota_check(user->key, self->user->amounts[kind], amount, value_of(self->config, kind, user),
                       error) ||
      !gem_quota_check(all->key, self->all->amounts[kind], amount, value_of(self->config, kind, all),
                       error)) {
    return FALSE;
  }
  gem_quota_set(self, kind, self->own.amounts[kind] + amount);
  return TRUE;
}

guint64
gem_quota_get(const GemQuotaHold *self, GemQuotaKind kind)
{
  return self->own.amounts[kind];
}

void
gem_quota_set(GemQuotaHold *self, GemQuotaKind kind, guint64 amount)
{
  guint64 held = self->own.amounts[kind];

  g_assert(self->user->amounts[kind] >= held && self->all->amounts[kind] >= held);
  self->user->amounts[kind] += amount - held;
  self->all->amounts[kind] += amount - held;
  self->own.amounts[kind] = amount;
}

void
gem_quota_give(GemQuotaHold *self, GemQuotaKind kind)
{
  gem_quota_set(self, kind, 0);
}

void
gem_quota_move(GemQuotaHold *from, GemQuotaHold *to, GemQuotaKind kind)
{
  g_assert(from->user == to->user && from->all == to->all);
  to->own.amounts[kind] += from->own.amounts[kind];
  from->own.amounts[kind] = 0;
}
