#include "daemon/service/gem-adapt.h"

#include "daemon/bus/gem-descriptors.h"
#include "daemon/service/gem-authorize.h"
#include "daemon/service/gem-service.h"

/* That learning may take when its caller does not say: a text of the user's own is learned within five
 * minutes, with what comes before and after. */
#define DEFAULT_SECONDS 290u

/* The domains as they are when both the store and the model have been read. */
static GemLearned *
learned_of(GemCall *call)
{
  return gem_service_get_learned(gem_call_get_service(call));
}

static guint
uid_of(GemCall *call)
{
  return gem_call_get_caller(call)->user->uid;
}

/* ---- AdaptDomain ---- */

static gboolean
read_order(GemCall *call, const GemCallOptions *options, GemLearnedOrder *ret_order, GError **error)
{
  const GemConfig *config = gem_service_get_config(gem_call_get_service(call));

  if (options->seconds > config->adapt_seconds) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "seconds",
                         "%u is out of range, 10 to %u (AdaptSeconds)", options->seconds,
                         config->adapt_seconds);
    return FALSE;
  }
  *ret_order = (GemLearnedOrder){
      .mode = (char *)(options->tapt ? "tapt" : "dapt"),
      .seconds = options->seconds > 0 ? options->seconds : MIN(DEFAULT_SECONDS, config->adapt_seconds),
      .seed = options->generate.seed,
      .worst_other_percent = options->worst_other_percent,
      .least_gain_percent = options->least_gain_percent,
  };
  return TRUE;
}

static void
adapt_ready(gpointer data)
{
  GemCall *call = data;
  GemService *service = gem_call_get_service(call);
  g_auto(GemCallOptions) options = {0};
  GemLearnedOrder order = {0};
  const char *name = NULL, *path = NULL;
  GError *error = NULL;
  int text = -1;

  if (!gem_call_check(call) || !gem_call_read_options(call, 2, GEM_OPTIONS_ADAPT, 0, &options)) {
    return;
  }
  g_variant_get_child(gem_call_get_parameters(call), 0, "&s", &name);
  if (read_order(call, &options, &order, &error) && gem_service_check_staying(service, &error)) {
    text = gem_call_take_descriptor(call, 1, &error);
  }
  if (text >= 0) {
    path = gem_learned_adapt(gem_service_get_learned(service), gem_call_get_caller(call), name, text, &order,
                             &error);
  }
  if (path != NULL) {
    gem_call_return(call, g_variant_new("(o)", path));
    return;
  }
  gem_descriptors_close(text);
  gem_call_fail(call, error);
}

static void
adapt_authorized(GemCall *call)
{
  gem_learned_when_ready(learned_of(call), adapt_ready, call);
}

void
gem_adapt_run(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_ADAPT_DOMAIN, adapt_authorized);
}

/* ---- LearnedDomains ---- */

static void
list_ready(gpointer data)
{
  GemCall *call = data;
  g_auto(GemCallOptions) options = {0};

  if (gem_call_check(call) && gem_call_read_options(call, 0, GEM_OPTIONS_NONE, 0, &options)) {
    gem_call_return(call, g_variant_new("(@aa{sv})", gem_learned_describe(learned_of(call), uid_of(call))));
  }
}

void
gem_adapt_list_run(GemCall *call)
{
  gem_learned_when_ready(learned_of(call), list_ready, call);
}

/* ---- ForgetDomain, UndoAdaptation, ShareDomain ---- */

static void
on_done(const GError *error, gpointer data)
{
  GemCall *call = data;

  if (error != NULL) {
    gem_call_fail(call, g_error_copy(error));
  } else {
    gem_call_return(call, NULL);
  }
}

/* The name; NULL: the call is answered. Options are the argument at `options_index`: there are none yet. */
static const char *
read_name(GemCall *call, gsize name_index, gsize options_index)
{
  g_auto(GemCallOptions) options = {0};
  const char *name = NULL;
  GError *error = NULL;

  if (!gem_call_check(call) || !gem_call_read_options(call, options_index, GEM_OPTIONS_NONE, 0, &options)) {
    return NULL;
  }
  g_variant_get_child(gem_call_get_parameters(call), name_index, "&s", &name);
  if (!gem_learned_name_check(name, &error)) {
    gem_call_fail(call, error);
    return NULL;
  }
  return name;
}

/* A change of a domain of the caller's own, by name. */
typedef void (*Change)(GemLearned *learned, guint uid, const char *name, GemLearnedDone done, gpointer data);

static void
change_own(GemCall *call, Change change)
{
  const char *name = read_name(call, 0, 1);

  if (name != NULL) {
    change(learned_of(call), uid_of(call), name, on_done, call);
  }
}

static void
forget_ready(gpointer data)
{
  change_own(data, gem_learned_forget);
}

void
gem_adapt_forget_run(GemCall *call)
{
  gem_learned_when_ready(learned_of(call), forget_ready, call);
}

static void
undo_ready(gpointer data)
{
  change_own(data, gem_learned_undo);
}

void
gem_adapt_undo_run(GemCall *call)
{
  gem_learned_when_ready(learned_of(call), undo_ready, call);
}

static void
share_ready(gpointer data)
{
  GemCall *call = data;
  const char *name = read_name(call, 1, 3);
  guint32 uid = 0;
  gboolean shared = FALSE;

  if (name != NULL) {
    g_variant_get_child(gem_call_get_parameters(call), 0, "u", &uid);
    g_variant_get_child(gem_call_get_parameters(call), 2, "b", &shared);
    gem_learned_share(learned_of(call), uid, name, shared, on_done, call);
  }
}

static void
share_authorized(GemCall *call)
{
  gem_learned_when_ready(learned_of(call), share_ready, call);
}

void
gem_adapt_share_run(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_SHARE_DOMAIN, share_authorized);
}
