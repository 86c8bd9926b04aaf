/* What users may have in use: taken, refused and given back. */
#include "daemon/bus/gem-quota.h"
#include "dbus/gem-error.h"

typedef struct {
  GemConfig *config;
  GemQuotaUse users[2], all;
} Fixture;

static void
setup(Fixture *self, gconstpointer data)
{
  self->config = gem_config_new();
}

static void
teardown(Fixture *self, gconstpointer data)
{
  for (guint kind = 0; kind < GEM_QUOTA_KINDS; kind++) {
    g_assert_cmpuint(self->users[0].amounts[kind], ==, 0);
    g_assert_cmpuint(self->users[1].amounts[kind], ==, 0);
    g_assert_cmpuint(self->all.amounts[kind], ==, 0);
  }
  gem_config_unref(self->config);
}

static GemQuotaHold
hold_of(Fixture *self, guint user)
{
  GemQuotaHold hold;

  gem_quota_hold_init(&hold, self->config, &self->users[user], &self->all);
  return hold;
}

static void
assert_refused(GemQuotaHold *hold, GemQuotaKind kind, guint64 amount, const char *message)
{
  g_autoptr(GError) error = NULL;
  guint64 before = gem_quota_get(hold, kind);

  g_assert_false(gem_quota_take(hold, kind, amount, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_cmpstr(error->message, ==, message);
  g_assert_cmpuint(gem_quota_get(hold, kind), ==, before);
}

/* Every kind has its two keys, and each is heeded. */
static void
test_every_kind(Fixture *self, gconstpointer data)
{
  static const struct {
    const char *user, *all;
    gsize user_offset, all_offset;
  } keys[GEM_QUOTA_KINDS] = {
#define KEYS(name, member)                                                                                   \
  {name "PerUser", name, G_STRUCT_OFFSET(GemConfig, member##_per_user), G_STRUCT_OFFSET(GemConfig, member)}
      [GEM_QUOTA_SESSIONS] = KEYS("MaxSessions", max_sessions),
      [GEM_QUOTA_REQUESTS] = KEYS("MaxRequests", max_requests),
      [GEM_QUOTA_STREAMS] = KEYS("MaxStreams", max_streams),
      [GEM_QUOTA_TOKENS] = KEYS("MaxTokens", max_tokens),
      [GEM_QUOTA_KV_CACHE] = KEYS("MaxKvCache", max_kv_cache),
      [GEM_QUOTA_CALLS] = KEYS("MaxCalls", max_calls),
      [GEM_QUOTA_HOLDS] = KEYS("MaxHolds", max_holds),
#undef KEYS
  };

  for (guint kind = 0; kind < GEM_QUOTA_KINDS; kind++) {
    g_auto(GemQuotaHold) one = hold_of(self, 0);
    g_auto(GemQuotaHold) other = hold_of(self, 1);
    g_autofree char *of_user = g_strdup_printf("%s: 2 are in use, 2 are allowed", keys[kind].user);
    g_autofree char *of_all = g_strdup_printf("%s: 3 are in use, 3 are allowed", keys[kind].all);

    if (kind == GEM_QUOTA_KV_CACHE) {
      self->config->max_kv_cache_per_user = 2;
      self->config->max_kv_cache = 3;
    } else {
      G_STRUCT_MEMBER(guint, self->config, keys[kind].user_offset) = 2;
      G_STRUCT_MEMBER(guint, self->config, keys[kind].all_offset) = 3;
    }
    g_assert_true(gem_quota_take(&one, kind, 1, NULL));
    g_assert_true(gem_quota_take(&one, kind, 1, NULL));
    assert_refused(&one, kind, 1, of_user);
    g_assert_true(gem_quota_take(&other, kind, 1, NULL));
    assert_refused(&other, kind, 1, of_all);
    gem_quota_give(&one, kind);
    g_assert_true(gem_quota_take(&other, kind, 1, NULL));
  }
}

/* Amounts: what is wanted is told too, and sums do not wrap around. */
static void
test_amounts(Fixture *self, gconstpointer data)
{
  g_auto(GemQuotaHold) hold = hold_of(self, 0);

  self->config->max_kv_cache_per_user = 1000;
  g_assert_true(gem_quota_take(&hold, GEM_QUOTA_KV_CACHE, 600, NULL));
  assert_refused(&hold, GEM_QUOTA_KV_CACHE, 500,
                 "MaxKvCachePerUser: 600 are in use, 500 more are wanted, 1000 are allowed");
  assert_refused(&hold, GEM_QUOTA_KV_CACHE, G_MAXUINT64,
                 "MaxKvCachePerUser: 600 are in use, 18446744073709551615 more are wanted, 1000 are allowed");
  g_assert_true(gem_quota_take(&hold, GEM_QUOTA_KV_CACHE, 400, NULL));
  gem_quota_set(&hold, GEM_QUOTA_KV_CACHE, 10);
  g_assert_cmpuint(self->users[0].amounts[GEM_QUOTA_KV_CACHE], ==, 10);
  /* A limit that fell below what is in use takes nothing away, and lets nothing more in. */
  self->config->max_kv_cache_per_user = 5;
  assert_refused(&hold, GEM_QUOTA_KV_CACHE, 2,
                 "MaxKvCachePerUser: 10 are in use, 2 more are wanted, 5 are allowed");
}

/* What moved is the other holder's to give back. */
static void
test_move(Fixture *self, gconstpointer data)
{
  GemQuotaHold session = hold_of(self, 0);
  GemQuotaHold request = hold_of(self, 0);

  g_assert_true(gem_quota_take(&session, GEM_QUOTA_KV_CACHE, 70, NULL));
  g_assert_true(gem_quota_take(&session, GEM_QUOTA_SESSIONS, 1, NULL));
  gem_quota_move(&session, &request, GEM_QUOTA_KV_CACHE);
  gem_quota_hold_clear(&session);
  g_assert_cmpuint(self->all.amounts[GEM_QUOTA_SESSIONS], ==, 0);
  g_assert_cmpuint(self->all.amounts[GEM_QUOTA_KV_CACHE], ==, 70);
  gem_quota_hold_clear(&request);
}

/* A holder that never had a user holds nothing. */
static void
test_nobody(Fixture *self, gconstpointer data)
{
  g_auto(GemQuotaHold) hold = {0};

  g_assert_cmpuint(gem_quota_get(&hold, GEM_QUOTA_CALLS), ==, 0);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run)(Fixture *, gconstpointer);
  } tests[] = {
      {"/quota/every-kind", test_every_kind},
      {"/quota/amounts", test_amounts},
      {"/quota/move", test_move},
      {"/quota/nobody", test_nobody},
  };

  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].name, Fixture, NULL, setup, tests[i].run, teardown);
  }
  return g_test_run();
}
