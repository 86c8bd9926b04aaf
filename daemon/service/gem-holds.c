#include "daemon/service/gem-holds.h"

#include "daemon/service/gem-service.h"

struct _GemHolds {
  GHashTable *holds; /* cookie -> Hold, owned */
  guint32 last;      /* cookie */
};

typedef struct {
  GemHolds *holds;
  guint32 cookie; /* 0: not in the table yet */
  GemCaller *caller;
  GemEngine *engine;
  GemIdle *idle;
  char *domain;
  GemQuotaHold quota;
  gulong bye;    /* handler: the caller left; 0: none yet */
  GemCall *call; /* while the pathway is paged in */
} Hold;

static void
hold_free(gpointer data)
{
  Hold *hold = data;

  if (hold->bye != 0) {
    g_signal_handler_disconnect(hold->caller->bye, hold->bye);
    gem_idle_release(hold->idle, GEM_IDLE_HOLDS);
  }
  gem_engine_release_pathway(hold->engine, hold->domain);
  gem_quota_hold_clear(&hold->quota);
  gem_caller_unref(hold->caller);
  g_object_unref(hold->engine);
  g_free(hold->domain);
  g_free(hold);
}

GemHolds *
gem_holds_new(void)
{
  GemHolds *self = g_new0(GemHolds, 1);

  self->holds = g_hash_table_new_full(NULL, NULL, NULL, hold_free);
  return self;
}

void
gem_holds_free(GemHolds *self)
{
  g_assert(g_hash_table_size(self->holds) == 0);
  g_hash_table_unref(self->holds);
  g_free(self);
}

static void
on_bye(GCancellable *bye, gpointer data)
{
  Hold *hold = data;

  g_hash_table_remove(hold->holds->holds, GUINT_TO_POINTER(hold->cookie));
}

static gboolean
is_of_other(gpointer cookie, gpointer value, gpointer engine)
{
  const Hold *hold = value;

  return hold->engine != engine;
}

void
gem_holds_drop_others(GemHolds *self, GemEngine *engine)
{
  g_hash_table_foreach_remove(self->holds, is_of_other, engine);
}

/* Numbers that are in use are passed over when they come round again. */
static guint32
next_cookie(GemHolds *self)
{
  do {
    self->last++;
  } while (self->last == 0 || g_hash_table_contains(self->holds, GUINT_TO_POINTER(self->last)));
  return self->last;
}

static void
on_paged(GObject *source, GAsyncResult *result, gpointer data)
{
  Hold *hold = data;
  GemCall *call = g_steal_pointer(&hold->call);
  GError *error = NULL;

  if (!gem_engine_page_finish(GEM_ENGINE(source), result, &error)) {
    hold_free(hold);
    gem_call_fail(call, error);
    return;
  }
  if (!gem_call_check(call)) {
    hold_free(hold);
    return;
  }
  if (hold->engine != gem_service_get_engine(gem_call_get_service(call))) {
    hold_free(hold);
    gem_call_fail(call, gem_served_model_changed_error());
    return;
  }
  hold->cookie = next_cookie(hold->holds);
  g_hash_table_insert(hold->holds->holds, GUINT_TO_POINTER(hold->cookie), hold);
  gem_idle_inhibit(hold->idle, GEM_IDLE_HOLDS);
  hold->bye = g_signal_connect(hold->caller->bye, "cancelled", G_CALLBACK(on_bye), hold);
  gem_call_return(call, g_variant_new("(u)", hold->cookie));
}

void
gem_holds_take(GemHolds *self, GemCall *call, const char *domain)
{
  GemCaller *caller = gem_call_get_caller(call);
  const GemConfig *config = gem_service_get_config(gem_call_get_service(call));
  g_auto(GemQuotaHold) quota = gem_user_hold(caller->user, config);
  g_auto(GemCallOptions) options = {0};
  GError *error = NULL;
  Hold *hold;

  if (!gem_call_read_options(call, 0, GEM_OPTIONS_NONE, 0, &options)) {
    return;
  }
  if (!gem_service_check_staying(gem_call_get_service(call), &error)) {
    gem_call_fail(call, error);
    return;
  }
  if (!gem_quota_take(&quota, GEM_QUOTA_HOLDS, 1, &error)) {
    gem_call_fail(call, error);
    return;
  }
  hold = g_new0(Hold, 1);
  hold->holds = self;
  hold->caller = gem_caller_ref(caller);
  hold->engine = g_object_ref(gem_call_get_engine(call));
  hold->idle = gem_service_get_idle(gem_call_get_service(call));
  hold->domain = g_strdup(domain);
  hold->quota = gem_user_hold(caller->user, config);
  gem_quota_move(&quota, &hold->quota, GEM_QUOTA_HOLDS);
  hold->call = call;
  /* From now on: nothing may take its place between its coming and the answer. */
  gem_engine_hold_pathway(hold->engine, domain);
  gem_engine_page_in_async(hold->engine, domain, gem_call_get_cancellable(call), on_paged, hold);
}

void
gem_holds_release(GemHolds *self, GemCall *call, const char *domain)
{
  const Hold *hold;
  guint32 cookie = 0;
  GError *error = NULL;

  g_variant_get_child(gem_call_get_parameters(call), 0, "u", &cookie);
  hold = g_hash_table_lookup(self->holds, GUINT_TO_POINTER(cookie));
  /* Another caller's is as good as none. */
  if (hold == NULL || hold->caller != gem_call_get_caller(call) || !g_str_equal(hold->domain, domain)) {
    gem_error_set_argument(&error, "cookie", "the caller has no hold %u on pathway %s", cookie, domain);
    gem_call_fail(call, error);
    return;
  }
  g_hash_table_remove(self->holds, GUINT_TO_POINTER(cookie));
  gem_call_return(call, NULL);
}
