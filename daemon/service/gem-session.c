#include "daemon/service/gem-session.h"

#include <gio/gunixfdlist.h>
#include <string.h>

#include "daemon/service/gem-cut.h"
#include "daemon/service/gem-service.h"
#include "dbus/gem-dbus-generated.h"
#include "dbus/gem-names.h"

struct _GemSessions {
  GemService *service;
  GemRequests *requests;
  GemPrivateTree *tree;
  GHashTable *all; /* set of GemSession */
};

typedef struct _Cutting Cutting;

typedef struct {
  GemSessions *sessions;
  GemCaller *caller;
  char *node;
  GemServedModel *model; /* that the sequence is of */
  GemSequence *sequence;
  GemRequest *request; /* the turn that runs; NULL: none */
  Cutting *cutting;    /* the one that is about to; NULL: none */
  GemQuotaHold hold;   /* of the session and its cache */
  gulong bye;          /* handler: the caller left */
} GemSession;

/* A turn whose prompt is cut into tokens. */
struct _Cutting {
  GemSessions *sessions;
  GemSession *session; /* NULL: closed meanwhile */
  GDBusMethodInvocation *invocation;
  const char *prompt; /* the invocation's */
  GemCallOptions options;
  GemQuotaHold hold; /* the turn's place among all, until it begins */
};

static void
session_close(GemSession *session)
{
  GemSessions *sessions = session->sessions;

  if (session->cutting != NULL) {
    session->cutting->session = NULL;
  }
  if (session->request != NULL) {
    gem_request_forget(session->request);
    gem_request_cancel(session->request);
  }
  g_signal_handler_disconnect(session->caller->bye, session->bye);
  gem_private_tree_remove(sessions->tree, session->node);
  g_hash_table_remove(sessions->all, session);
  gem_quota_hold_clear(&session->hold);
  gem_idle_release(gem_service_get_idle(sessions->service), GEM_IDLE_SESSIONS);
  g_object_unref(session->sequence);
  gem_served_model_unref(session->model);
  gem_caller_unref(session->caller);
  g_free(session->node);
  g_free(session);
}

static void
on_bye(GCancellable *bye, gpointer data)
{
  session_close(data);
}

static void
on_request_done(gpointer data)
{
  GemSession *session = data;

  session->request = NULL;
}

/* ---- Generate ---- */

static gboolean
session_check_free(GemSession *session, GError **error)
{
  if (gem_service_is_stopping(session->sessions->service)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops");
    return FALSE;
  }
  if (gem_served_model_is_retired(session->model)) {
    g_propagate_error(error, gem_served_model_changed_error());
    return FALSE;
  }
  if (session->request != NULL || session->cutting != NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_BUSY, "the session's last turn still runs");
    return FALSE;
  }
  return TRUE;
}

static gboolean
session_start(
    GemSession *session, const char *prompt, const GemCallOptions *options, int *ret_reader, GError **error)
{
  if (!session_check_free(session, error)) {
    return FALSE;
  }
  session->request =
      gem_request_new(session->sessions->requests, session->caller, session->model, session->sequence,
                      &session->hold, prompt, options, on_request_done, session, ret_reader, error);
  return session->request != NULL;
}

static void
generate_return(
    GemSession *session, const char *prompt, guint64 seed, int reader, GDBusMethodInvocation *invocation)
{
  g_autoptr(GUnixFDList) fds = g_unix_fd_list_new_from_array(&reader, 1); /* takes it */
  GVariantBuilder info;

  g_variant_builder_init(&info, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&info, "{sv}", "prompt_bytes", g_variant_new_uint64(strlen(prompt)));
  g_variant_builder_add(&info, "{sv}", "seed", g_variant_new_uint64(seed));
  g_dbus_method_invocation_return_value_with_unix_fd_list(
      invocation, g_variant_new("(oha{sv})", gem_request_get_path(session->request), 0, &info), fds);
}

/* Takes `error`. */
static void
generate_fail(GemSessions *self, GDBusMethodInvocation *invocation, GError *error)
{
  error = gem_error_for_caller(error);
  gem_statistics_count_call(gem_service_get_statistics(self->service), "Generate", error);
  g_dbus_method_invocation_take_error(invocation, error);
}

static void
cutting_free(Cutting *self)
{
  gem_work_end(gem_service_get_work(self->sessions->service), GEM_IDLE_CALLS);
  gem_quota_hold_clear(&self->hold);
  gem_call_options_clear(&self->options);
  g_free(self);
}

/* The turn takes the place that was kept for it. */
static void
cutting_start(Cutting *self, GemPrompt *prompt)
{
  int reader = -1;
  GError *error = NULL;

  gem_quota_hold_clear(&self->hold);
  self->options.generate.run.prompt = prompt;
  if (!session_start(self->session, self->prompt, &self->options, &reader, &error)) {
    generate_fail(self->sessions, self->invocation, error);
    return;
  }
  gem_statistics_count_call(gem_service_get_statistics(self->sessions->service), "Generate", NULL);
  generate_return(self->session, self->prompt, self->options.generate.seed, reader, self->invocation);
}

static void
on_cut(GemPrompt *prompt, GError *error, gpointer data)
{
  Cutting *self = data;

  if (self->session == NULL) {
    g_clear_error(&error);
    error = g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "the session was closed");
  } else {
    self->session->cutting = NULL;
  }
  if (error != NULL) {
    generate_fail(self->sessions, self->invocation, error);
  } else {
    cutting_start(self, prompt);
  }
  cutting_free(self);
}

/* A turn counts from the moment that it is asked for. */
static gboolean
session_check_turn(GemSession *session, GemQuotaHold *hold, GError **error)
{
  return session_check_free(session, error) && gem_quota_take(hold, GEM_QUOTA_REQUESTS, 1, error) &&
         gem_quota_take(hold, GEM_QUOTA_STREAMS, 1, error);
}

/* Takes what `options` and `hold` hold. The session is busy meanwhile, so that its turns keep their order. */
static void
session_cut(GemSession *session,
            const char *prompt,
            GemCallOptions *options,
            GemQuotaHold *hold,
            GDBusMethodInvocation *invocation)
{
  const GemPromptSpec spec = {.form = options->generate.raw ? GEM_PROMPT_RAW : GEM_PROMPT_ASK,
                              .places = options->routes};
  Cutting *self = g_new0(Cutting, 1);

  self->sessions = session->sessions;
  self->session = session;
  self->invocation = invocation;
  self->prompt = prompt;
  self->options = *options;
  *options = (GemCallOptions){0};
  self->hold = *hold;
  *hold = (GemQuotaHold){0};
  session->cutting = self;
  gem_work_begin(gem_service_get_work(self->sessions->service), GEM_IDLE_CALLS);
  gem_cut(gem_served_model_get_engine(session->model), prompt, &spec, on_cut, self);
}

static void
session_generate(GemSession *session, GVariant *parameters, GDBusMethodInvocation *invocation)
{
  GemEngine *engine = gem_served_model_get_engine(session->model);
  GemOptionRules rules = {GEM_OPTIONS_GENERATE, gem_engine_get_context(engine),
                          gem_engine_get_domains(engine)};
  g_autoptr(GVariant) options = g_variant_get_child_value(parameters, 1);
  g_auto(GemCallOptions) parsed = {0};
  g_auto(GemQuotaHold) hold =
      gem_user_hold(session->caller->user, gem_service_get_config(session->sessions->service));
  const char *prompt = NULL;
  GError *error = NULL;

  g_variant_get_child(parameters, 0, "&s", &prompt);
  if (gem_arguments_check(parameters, &error) && gem_text_check(prompt, &error) &&
      gem_call_options_parse(options, &rules, &parsed, &error) &&
      session_check_turn(session, &hold, &error)) {
    session_cut(session, prompt, &parsed, &hold, invocation);
  } else {
    generate_fail(session->sessions, invocation, error);
  }
}

static void
on_call(gpointer object, const char *method, GVariant *parameters, GDBusMethodInvocation *invocation)
{
  if (g_str_equal(method, "Generate")) {
    session_generate(object, parameters, invocation);
  } else {
    g_assert(g_str_equal(method, "Close"));
    session_close(object);
    g_dbus_method_invocation_return_value(invocation, NULL);
  }
}

static GVariant *
on_get(gpointer object, const char *property)
{
  const GemSession *session = object;

  g_assert(g_str_equal(property, "Tokens"));
  return g_variant_new_uint32(gem_sequence_get_tokens(session->sequence));
}

static const GemPrivateFunctions functions = {on_call, on_get};

/* ---- CreateSession ---- */

/* Takes `sequence` and what `hold` holds. */
static GemSession *
session_new(GemSessions *self, GemCaller *caller, GemSequence *sequence, GemQuotaHold *hold)
{
  GemSession *session = g_new0(GemSession, 1);

  session->sessions = self;
  session->caller = gem_caller_ref(caller);
  session->node = g_strdelimit(g_uuid_string_random(), "-", '_');
  session->model = gem_served_model_ref(gem_model_host_get_model(gem_service_get_model(self->service)));
  session->sequence = sequence;
  session->hold = *hold;
  *hold = (GemQuotaHold){0};
  session->bye = g_signal_connect(caller->bye, "cancelled", G_CALLBACK(on_bye), session);
  g_hash_table_add(self->all, session);
  gem_idle_inhibit(gem_service_get_idle(self->service), GEM_IDLE_SESSIONS);
  gem_private_tree_add(self->tree, session->node, caller->sender, session);
  return session;
}

void
gem_session_create_run(GemCall *call)
{
  GemSessions *self = gem_service_get_sessions(gem_call_get_service(call));
  GemCaller *caller = gem_call_get_caller(call);
  g_auto(GemCallOptions) options = {0};
  g_auto(GemQuotaHold) hold = gem_user_hold(caller->user, gem_service_get_config(self->service));
  g_autofree char *path = NULL;
  GemSequence *sequence = NULL;
  GError *error = NULL;

  if (!gem_call_read_options(call, 0, GEM_OPTIONS_SESSION, 0, &options)) {
    return;
  }
  if (gem_service_check_staying(self->service, &error) &&
      gem_quota_take(&hold, GEM_QUOTA_SESSIONS, 1, &error)) {
    sequence = gem_engine_new_sequence(gem_call_get_engine(call), &options.generate.run, &error);
  }
  if (sequence == NULL) {
    gem_call_fail(call, error);
    return;
  }
  path = g_strconcat(GEM_SESSION_PATH "/", session_new(self, caller, sequence, &hold)->node, NULL);
  gem_call_return(call, g_variant_new("(o)", path));
}

GemSessions *
gem_sessions_new(GemService *service, GemRequests *requests, GError **error)
{
  g_autoptr(GemPrivateTree) tree = gem_private_tree_new(gem_service_get_connection(service), GEM_SESSION_PATH,
                                                        gem_dbus_session_interface_info(), &functions, error);
  GemSessions *self;

  if (tree == NULL) {
    return NULL;
  }
  self = g_new0(GemSessions, 1);
  self->service = service;
  self->requests = requests;
  self->tree = g_steal_pointer(&tree);
  self->all = g_hash_table_new(NULL, NULL);
  return self;
}

void
gem_sessions_free(GemSessions *self)
{
  g_autoptr(GList) all = g_hash_table_get_keys(self->all);

  for (GList *item = all; item != NULL; item = item->next) {
    session_close(item->data);
  }
  g_hash_table_unref(self->all);
  gem_private_tree_free(self->tree);
  g_free(self);
}
