#include "daemon/service/gem-call.h"

#include <string.h>

#include "daemon/bus/gem-descriptors.h"
#include "daemon/service/gem-call-queue.h"
#include "daemon/service/gem-service.h"
#include "dbus/gem-names.h"

struct _GemCall {
  GemService *service;
  GDBusMethodInvocation *invocation;
  GemCaller *caller;
  GObject *target;
  GemServedModel *model; /* that it runs on; NULL: none yet, or it needs none */
  gboolean needs_model;
  GemCallRun run;
  gint64 arrival;
  int descriptor; /* that came with it; -1: none, or taken */
  guint loading;  /* timeout source: it waits for the model; 0: it does not */
  GemCallTicket ticket;
  gboolean counted; /* among the caller's calls */
  GemQuotaHold hold;
};

gboolean
gem_text_check(const char *text, GError **error)
{
  gsize length = strlen(text);

  if (length == 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT, "the text is empty: 0 bytes, 1 to %u are wanted",
                GEM_MAX_TEXT_BYTES);
    return FALSE;
  }
  if (length > GEM_MAX_TEXT_BYTES) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                "the text has %" G_GSIZE_FORMAT " bytes, up to %u are taken", length, GEM_MAX_TEXT_BYTES);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_arguments_check(GVariant *parameters, GError **error)
{
  gsize size = g_variant_get_size(parameters), n = g_variant_n_children(parameters);

  if (size <= GEM_MAX_CALL_BYTES) {
    return TRUE;
  }
  for (gsize i = 0; i < n; i++) {
    g_autoptr(GVariant) argument = g_variant_get_child_value(parameters, i);

    if (g_variant_is_of_type(argument, G_VARIANT_TYPE_STRING) &&
        g_variant_get_size(argument) > GEM_MAX_TEXT_BYTES &&
        !gem_text_check(g_variant_get_string(argument, NULL), error)) {
      return FALSE;
    }
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
              "the arguments have %" G_GSIZE_FORMAT " bytes together, up to %u are taken", size,
              GEM_MAX_CALL_BYTES);
  return FALSE;
}

static void
call_drop_model(GemCall *self)
{
  GemServedModel *model = g_steal_pointer(&self->model);

  if (model != NULL) {
    gem_served_model_end_work(model);
    gem_served_model_unref(model);
  }
}

void
gem_call_take_model(GemCall *self)
{
  call_drop_model(self);
  self->model = gem_served_model_ref(gem_model_host_get_model(gem_service_get_model(self->service)));
  gem_served_model_begin_work(self->model);
}

/* What the caller may have only so much of. */
static void
call_give_back(GemCall *self)
{
  if (self->counted) {
    self->caller->calls--;
    self->counted = FALSE;
  }
  gem_quota_hold_clear(&self->hold);
}

static void
call_free(GemCall *self)
{
  gem_call_queue_leave(&self->ticket);
  call_give_back(self);
  call_drop_model(self);
  gem_work_end(gem_service_get_work(self->service), GEM_IDLE_CALLS);
  gem_caller_unref(self->caller);
  g_object_unref(self->target);
  gem_descriptors_close(self->descriptor);
  g_free(self);
}

/* But for those who only try whether the statistics are for them, as gem-client does: that is no trouble. */
static void
call_count(GemCall *self, const GError *error)
{
  const char *method = g_dbus_method_invocation_get_method_name(self->invocation);

  if (!g_str_equal(method, "Stats") || !g_error_matches(error, GEM_ERROR, GEM_ERROR_NOT_AUTHORIZED)) {
    gem_statistics_count_call(gem_service_get_statistics(self->service), method, error);
  }
}

void
gem_call_return(GemCall *self, GVariant *value)
{
  call_count(self, NULL);
  g_dbus_method_invocation_return_value(self->invocation, value);
  call_free(self);
}

typedef struct {
  GDBusMethodInvocation *invocation;
  GemCallMake make;
  gpointer data;
  GDestroyNotify destroy;
} Making;

static void
make_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Making *self = data;

  g_dbus_method_invocation_return_value(self->invocation, self->make(self->data));
  self->destroy(self->data);
  g_task_return_boolean(task, TRUE);
}

static void
on_made(GObject *source, GAsyncResult *result, gpointer data)
{
  call_free(data);
}

void
gem_call_return_made(GemCall *self, GemCallMake make, gpointer data, GDestroyNotify destroy)
{
  g_autoptr(GTask) task = g_task_new(NULL, NULL, on_made, self);
  Making *making = g_new0(Making, 1);

  call_count(self, NULL);
  call_give_back(self);
  *making = (Making){self->invocation, make, data, destroy};
  g_task_set_task_data(task, making, g_free);
  g_task_run_in_thread(task, make_in_thread);
}

void
gem_call_fail(GemCall *self, GError *error)
{
  /* Not the service, only the model that it ran on has ended. */
  if (g_error_matches(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN) && self->model != NULL &&
      gem_served_model_is_retired(self->model) && !gem_service_is_stopping(self->service)) {
    g_error_free(error);
    error = gem_served_model_changed_error();
  }
  error = gem_error_for_caller(error);
  call_count(self, error);
  g_dbus_method_invocation_take_error(self->invocation, error);
  call_free(self);
}

gboolean
gem_call_check(GemCall *self)
{
  if (gem_service_is_stopping(self->service)) {
    gem_call_fail(self, g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops"));
    return FALSE;
  }
  if (self->caller->gone) {
    gem_call_fail(self, g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "the caller left the bus"));
    return FALSE;
  }
  return TRUE;
}

/* Before the bus gives up on it: a caller that says nothing waits for 25 s. */
static gint64
call_deadline(const GemCall *self)
{
  return self->arrival + (gint64)gem_service_get_config(self->service)->ask_seconds * G_USEC_PER_SEC;
}

static guint
milliseconds_left(const GemCall *self)
{
  return (guint)MAX((call_deadline(self) - g_get_monotonic_time()) / 1000, 1);
}

static void
on_turn(gpointer data)
{
  GemCall *self = data;

  if (gem_call_check(self)) {
    if (self->needs_model) {
      gem_call_take_model(self);
    }
    self->run(self);
  }
}

static void
on_late(gpointer data, guint seconds)
{
  gem_call_fail(data,
                g_error_new(GEM_ERROR, GEM_ERROR_BUSY,
                            "others call too: this call's turn did not come in %u s (AskSeconds)", seconds));
}

static gboolean
on_not_loaded(gpointer data)
{
  GemCall *self = data;

  self->loading = 0;
  gem_model_host_forget(gem_service_get_model(self->service), self);
  gem_call_fail(self,
                g_error_new(GEM_ERROR, GEM_ERROR_NOT_READY,
                            "the model is still being loaded: the call has waited for %u s (AskSeconds)",
                            gem_service_get_config(self->service)->ask_seconds));
  return G_SOURCE_REMOVE;
}

static void
on_settled(gpointer data)
{
  GemCall *self = data;
  const GError *error = gem_model_host_get_error(gem_service_get_model(self->service));

  g_clear_handle_id(&self->loading, g_source_remove);
  if (!gem_call_check(self)) {
    return;
  }
  if (error != NULL) {
    gem_call_fail(self, g_error_copy(error));
    return;
  }
  gem_call_queue_join(gem_service_get_queue(self->service), &self->ticket);
}

static void
on_identified(GemCaller *caller, gpointer data)
{
  GemCall *self = data;
  GError *error = NULL;

  if (caller->gone) {
    gem_call_fail(self, g_error_new_literal(GEM_ERROR, GEM_ERROR_NOT_AUTHORIZED,
                                            "the bus does not know whose connection this is"));
    return;
  }
  self->hold = gem_user_hold(caller->user, gem_service_get_config(self->service));
  if (!gem_quota_take(&self->hold, GEM_QUOTA_CALLS, 1, &error)) {
    gem_call_fail(self, error);
    return;
  }
  if (!self->needs_model) {
    gem_call_queue_join(gem_service_get_queue(self->service), &self->ticket);
    return;
  }
  self->loading = g_timeout_add(milliseconds_left(self), on_not_loaded, self);
  gem_model_host_when_settled(gem_service_get_model(self->service), on_settled, self);
}

static void
on_told(gpointer data)
{
  GemCall *self = data;

  gem_caller_identify(self->caller, on_identified, self);
}

/* Options stand last among a method's arguments. */
static gboolean
is_batch(GVariant *parameters)
{
  gsize n = g_variant_n_children(parameters);
  g_autoptr(GVariant) last = n > 0 ? g_variant_get_child_value(parameters, n - 1) : NULL;

  return last != NULL && g_variant_is_of_type(last, G_VARIANT_TYPE_VARDICT) &&
         gem_call_options_are_batch(last);
}

typedef enum { PLAIN, LIGHT, HEAVY } CallKind;

static void
begin(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run, CallKind kind)
{
  const GemConfig *config = gem_service_get_config(service);
  const char *sender = g_dbus_method_invocation_get_sender(invocation);
  GVariant *parameters = g_dbus_method_invocation_get_parameters(invocation);
  GemCall *self = g_new0(GemCall, 1);
  GError *error = NULL;

  self->service = service;
  self->invocation = invocation;
  self->caller = gem_caller_ref(gem_callers_get(gem_service_get_callers(service), sender));
  self->target = g_object_ref(target);
  self->needs_model = kind != PLAIN;
  self->run = run;
  self->arrival = g_get_monotonic_time();
  self->descriptor = gem_descriptors_take(g_dbus_method_invocation_get_message(invocation));
  self->ticket = (GemCallTicket){.caller = self->caller,
                                 .heavy = kind == HEAVY,
                                 .run = on_turn,
                                 .late = on_late,
                                 .data = self,
                                 .since = self->arrival};
  gem_work_begin(gem_service_get_work(service), GEM_IDLE_CALLS);
  if (gem_service_is_stopping(service)) {
    gem_call_fail(self, g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops"));
    return;
  }
  if (!gem_arguments_check(parameters, &error) ||
      !gem_quota_check("MaxCallsPerClient", self->caller->calls, 1, config->max_calls_per_client, &error)) {
    gem_call_fail(self, error);
    return;
  }
  /* Only now, since it looks through all options. */
  self->ticket.batch = kind == HEAVY && is_batch(parameters);
  self->caller->calls++;
  self->counted = TRUE;
  gem_service_when_told(service, on_told, self);
}

void
gem_call_begin(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run)
{
  begin(service, invocation, target, run, LIGHT);
}

void
gem_call_begin_heavy(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run)
{
  begin(service, invocation, target, run, HEAVY);
}

void
gem_call_begin_plain(GemService *service, GDBusMethodInvocation *invocation, gpointer target, GemCallRun run)
{
  begin(service, invocation, target, run, PLAIN);
}

GemService *
gem_call_get_service(GemCall *self)
{
  return self->service;
}

GemEngine *
gem_call_get_engine(GemCall *self)
{
  return self->model != NULL ? gem_served_model_get_engine(self->model) : NULL;
}

GemCaller *
gem_call_get_caller(GemCall *self)
{
  return self->caller;
}

gpointer
gem_call_get_target(GemCall *self)
{
  return self->target;
}

GVariant *
gem_call_get_parameters(GemCall *self)
{
  return g_dbus_method_invocation_get_parameters(self->invocation);
}

GCancellable *
gem_call_get_cancellable(GemCall *self)
{
  return self->caller->bye;
}

gboolean
gem_call_allows_interaction(GemCall *self)
{
  GDBusMessage *message = g_dbus_method_invocation_get_message(self->invocation);

  return (g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION) != 0;
}

gint64
gem_call_get_arrival(GemCall *self)
{
  return self->arrival;
}

gboolean
gem_call_read_options(
    GemCall *self, gsize index, guint accepted, guint most_tokens, GemCallOptions *ret_options)
{
  g_autoptr(GVariant) options = g_variant_get_child_value(gem_call_get_parameters(self), index);
  static const char *const no_domains[] = {NULL};
  GemEngine *engine = gem_call_get_engine(self);
  guint uid = self->caller->user->uid;
  g_auto(GStrv) domains = engine != NULL ? gem_engine_list_domains_of(engine, uid) : NULL;
  GemOptionRules rules = {accepted, most_tokens, domains != NULL ? (const char *const *)domains : no_domains};
  GError *error = NULL;

  if (!gem_call_options_parse(options, &rules, ret_options, &error)) {
    gem_call_fail(self, error);
    return FALSE;
  }
  ret_options->generate.run.owner = uid;
  ret_options->generate.run.deadline = call_deadline(self);
  return TRUE;
}

const char *
gem_call_read_text(GemCall *self, gsize index)
{
  const char *text = NULL;
  GError *error = NULL;

  g_variant_get_child(gem_call_get_parameters(self), index, "&s", &text);
  if (!gem_text_check(text, &error)) {
    gem_call_fail(self, error);
    return NULL;
  }
  return text;
}

int
gem_call_take_descriptor(GemCall *self, gsize index, GError **error)
{
  gint32 handle = -1;

  g_variant_get_child(gem_call_get_parameters(self), index, "h", &handle);
  if (self->descriptor < 0 || handle != 0) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                "argument %" G_GSIZE_FORMAT ": no descriptor came with it", index + 1);
    return -1;
  }
  return g_steal_fd(&self->descriptor);
}
