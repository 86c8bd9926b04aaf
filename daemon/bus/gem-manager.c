#include "daemon/bus/gem-manager.h"

#include <string.h>

#include "daemon/bus/gem-adapt.h"
#include "daemon/bus/gem-answer.h"
#include "daemon/bus/gem-authorize.h"
#include "daemon/bus/gem-load-model.h"
#include "daemon/bus/gem-service.h"
#include "daemon/gem-version.h"

#define FEWEST_LABELS    2u
#define MOST_LABELS      256u
#define MOST_LABEL_BYTES 1024u
#define MOST_ALL_BYTES   16384u /* of all labels: what one call may make the engine run */
/* Rows of Route: they are some 250 bytes each, and made on the main loop. */
#define MOST_ROWS 16384u

struct _GemManagerObject {
  GemDBusManagerSkeleton parent_instance;
  GemService *service;
};

/* Asked of the engine each time; the others stand in the skeleton. */
enum { PROP_RESIDENT_BYTES = 1, PROP_MEMORY_STEP, PROP_MEMORY_LIMIT };

static void
manager_interface_init(GemDBusManagerIface *iface);

G_DEFINE_TYPE_WITH_CODE(GemManagerObject,
                        gem_manager_object,
                        GEM_DBUS_TYPE_MANAGER_SKELETON,
                        G_IMPLEMENT_INTERFACE(GEM_DBUS_TYPE_MANAGER, manager_interface_init))

static GVariant *
doubles(const GArray *values)
{
  return g_variant_new_fixed_array(G_VARIANT_TYPE_DOUBLE, values->data, values->len, sizeof(double));
}

/* ---- Route ---- */

static void
on_routed(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GemEngine *engine = GEM_ENGINE(source);
  GError *error = NULL;
  g_autoptr(GPtrArray) tokens = gem_engine_route_finish(engine, result, &error);
  GVariantBuilder builder;

  if (tokens == NULL) {
    gem_call_fail(call, error);
    return;
  }
  if (tokens->len > MOST_ROWS) {
    gem_call_fail(call, g_error_new(GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
                                    "the text has %u tokens, up to %u are routed at a time", tokens->len,
                                    MOST_ROWS));
    return;
  }
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(sttsa{sd})"));
  for (guint i = 0; i < tokens->len; i++) {
    const GemRoutedToken *token = g_ptr_array_index(tokens, i);

    g_variant_builder_add_value(&builder, gem_answer_route(token));
  }
  gem_call_return(call, g_variant_new("(a(sttsa{sd}))", &builder));
}

static void
run_route(GemCall *call)
{
  const char *text = gem_call_read_text(call, 0);
  g_auto(GemCallOptions) options = {0};

  if (text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_NONE, 0, &options)) {
    gem_engine_route_async(gem_call_get_engine(call), text, &options.generate.run,
                           gem_call_get_cancellable(call), on_routed, call);
  }
}

/* ---- Classify ---- */

static void
on_classified(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  g_autoptr(GArray) scores = gem_engine_classify_finish(GEM_ENGINE(source), result, &error);
  g_autoptr(GVariant) labels = g_variant_get_child_value(gem_call_get_parameters(call), 1);
  GVariantBuilder builder;

  if (scores == NULL) {
    gem_call_fail(call, error);
    return;
  }
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(sd)"));
  for (guint i = 0; i < scores->len; i++) {
    const char *label = NULL;

    g_variant_get_child(labels, i, "&s", &label);
    g_variant_builder_add(&builder, "(sd)", label, g_array_index(scores, double, i));
  }
  gem_call_return(call, g_variant_new("(a(sd))", &builder));
}

static gboolean
check_labels(const char *const *labels, gsize count, GError **error)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  gsize all_bytes = 0;

  if (count < FEWEST_LABELS || count > MOST_LABELS) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                "labels: there are %" G_GSIZE_FORMAT ", %u to %u are wanted", count, FEWEST_LABELS,
                MOST_LABELS);
    return FALSE;
  }
  for (gsize i = 0; i < count; i++) {
    gsize length = strlen(labels[i]);

    if (length < 1 || length > MOST_LABEL_BYTES) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT,
                  "label %" G_GSIZE_FORMAT " has %" G_GSIZE_FORMAT " bytes, 1 to %u are wanted", i + 1,
                  length, MOST_LABEL_BYTES);
      return FALSE;
    }
    if (!g_hash_table_add(seen, (gpointer)labels[i])) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                  "labels: label %" G_GSIZE_FORMAT " stands there twice", i + 1);
      return FALSE;
    }
    all_bytes += length;
  }
  if (all_bytes > MOST_ALL_BYTES) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                "labels: they have %" G_GSIZE_FORMAT " bytes together, at most %u are taken", all_bytes,
                MOST_ALL_BYTES);
    return FALSE;
  }
  return TRUE;
}

static void
run_classify(GemCall *call)
{
  const char *text = gem_call_read_text(call, 0);
  g_auto(GemCallOptions) options = {0};
  g_autoptr(GVariant) value = NULL;
  g_autofree const char **labels = NULL;
  gsize count = 0;
  GError *error = NULL;

  if (text == NULL || !gem_call_read_options(call, 2, GEM_OPTIONS_RUN, 0, &options)) {
    return;
  }
  value = g_variant_get_child_value(gem_call_get_parameters(call), 1);
  labels = g_variant_get_strv(value, &count);
  if (!check_labels(labels, count, &error)) {
    gem_call_fail(call, error);
    return;
  }
  gem_engine_classify_async(gem_call_get_engine(call), text, labels, &options.generate.run,
                            gem_call_get_cancellable(call), on_classified, call);
}

/* ---- Embed ---- */

static void
on_embedded(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  g_autoptr(GArray) vector = gem_engine_embed_finish(GEM_ENGINE(source), result, &error);

  if (vector == NULL) {
    gem_call_fail(call, error);
  } else {
    gem_call_return(call, g_variant_new("(@ad)", doubles(vector)));
  }
}

static void
run_embed(GemCall *call)
{
  const char *text = gem_call_read_text(call, 0);
  g_auto(GemCallOptions) options = {0};

  if (text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_RUN, 0, &options)) {
    gem_engine_embed_async(gem_call_get_engine(call), text, &options.generate.run,
                           gem_call_get_cancellable(call), on_embedded, call);
  }
}

/* ---- Score ---- */

static void
on_scored(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  double log_likelihood = 0;
  guint64 tokens = 0;

  if (!gem_engine_score_finish(GEM_ENGINE(source), result, &log_likelihood, &tokens, &error)) {
    gem_call_fail(call, error);
  } else {
    gem_call_return(call, g_variant_new("(dt)", log_likelihood, tokens));
  }
}

static void
run_score(GemCall *call)
{
  const char *text = gem_call_read_text(call, 0);
  g_auto(GemCallOptions) options = {0};

  if (text != NULL && gem_call_read_options(call, 1, GEM_OPTIONS_RUN, 0, &options)) {
    gem_engine_score_async(gem_call_get_engine(call), text, &options.generate.run,
                           gem_call_get_cancellable(call), on_scored, call);
  }
}

/* ---- CountTokens ---- */

/* On a thread of its own: the longest text takes tens of milliseconds. */
static void
count_tokens(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GError *error = NULL;
  guint64 *tokens = g_new0(guint64, 1);

  if (gem_engine_count_tokens(GEM_ENGINE(source), data, tokens, &error)) {
    g_task_return_pointer(task, tokens, g_free);
  } else {
    g_free(tokens);
    g_task_return_error(task, error);
  }
}

static void
on_counted(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GError *error = NULL;
  g_autofree guint64 *tokens = g_task_propagate_pointer(G_TASK(result), &error);

  if (tokens == NULL) {
    gem_call_fail(call, error);
  } else {
    gem_call_return(call, g_variant_new("(t)", *tokens));
  }
}

static void
run_count_tokens(GemCall *call)
{
  const char *text = gem_call_read_text(call, 0);
  g_autoptr(GTask) task = NULL;

  if (text != NULL) {
    task = g_task_new(gem_call_get_engine(call), gem_call_get_cancellable(call), on_counted, call);
    /* The call's arguments stay until its answer. */
    g_task_set_task_data(task, (gpointer)text, NULL);
    g_task_run_in_thread(task, count_tokens);
  }
}

/* ---- Stats ---- */

static void
stats_authorized(GemCall *call)
{
  GemService *service = gem_call_get_service(call);
  g_auto(GemCallOptions) options = {0};

  if (gem_call_read_options(call, 0, GEM_OPTIONS_NONE, 0, &options)) {
    gem_call_return(call, g_variant_new("(@a{sv})", gem_statistics_describe(
                                                        gem_service_get_statistics(service), service)));
  }
}

static void
run_stats(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_READ_STATISTICS, stats_authorized);
}

/* ---- the interface: each method becomes a call on its way, see gem-call.h ---- */

static gboolean
manager_begin(GemDBusManager *manager, GDBusMethodInvocation *invocation, GemCallRun run)
{
  gem_call_begin(GEM_MANAGER_OBJECT(manager)->service, invocation, manager, run);
  return TRUE;
}

/* For what works in the engine until its answer. */
static gboolean
manager_begin_heavy(GemDBusManager *manager, GDBusMethodInvocation *invocation, GemCallRun run)
{
  gem_call_begin_heavy(GEM_MANAGER_OBJECT(manager)->service, invocation, manager, run);
  return TRUE;
}

static gboolean
handle_ask(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin(manager, invocation, gem_ask_run);
}

static gboolean
handle_route(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin_heavy(manager, invocation, run_route);
}

static gboolean
handle_classify(GemDBusManager *manager,
                GDBusMethodInvocation *invocation,
                const char *text,
                const char *const *labels,
                GVariant *options)
{
  return manager_begin_heavy(manager, invocation, run_classify);
}

static gboolean
handle_embed(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin_heavy(manager, invocation, run_embed);
}

static gboolean
handle_score(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin_heavy(manager, invocation, run_score);
}

static gboolean
handle_count_tokens(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text)
{
  return manager_begin_heavy(manager, invocation, run_count_tokens);
}

static gboolean
handle_create_session(GemDBusManager *manager, GDBusMethodInvocation *invocation, GVariant *options)
{
  return manager_begin(manager, invocation, gem_session_create_run);
}

static gboolean
handle_load_model(GemDBusManager *manager,
                  GDBusMethodInvocation *invocation,
                  const char *name,
                  GVariant *options)
{
  gem_call_begin_plain(GEM_MANAGER_OBJECT(manager)->service, invocation, manager, gem_load_model_run);
  return TRUE;
}

static gboolean
handle_adapt_domain(GemDBusManager *manager,
                    GDBusMethodInvocation *invocation,
                    GUnixFDList *descriptors,
                    const char *name,
                    GVariant *text,
                    GVariant *options)
{
  return manager_begin(manager, invocation, gem_adapt_run);
}

static gboolean
handle_learned_domains(GemDBusManager *manager, GDBusMethodInvocation *invocation, GVariant *options)
{
  return manager_begin(manager, invocation, gem_adapt_list_run);
}

static gboolean
handle_forget_domain(GemDBusManager *manager,
                     GDBusMethodInvocation *invocation,
                     const char *name,
                     GVariant *options)
{
  return manager_begin(manager, invocation, gem_adapt_forget_run);
}

static gboolean
handle_undo_adaptation(GemDBusManager *manager,
                       GDBusMethodInvocation *invocation,
                       const char *name,
                       GVariant *options)
{
  return manager_begin(manager, invocation, gem_adapt_undo_run);
}

static gboolean
handle_share_domain(GemDBusManager *manager,
                    GDBusMethodInvocation *invocation,
                    guint uid,
                    const char *name,
                    gboolean shared,
                    GVariant *options)
{
  return manager_begin(manager, invocation, gem_adapt_share_run);
}

static gboolean
handle_stats(GemDBusManager *manager, GDBusMethodInvocation *invocation, GVariant *options)
{
  gem_call_begin_plain(GEM_MANAGER_OBJECT(manager)->service, invocation, manager, run_stats);
  return TRUE;
}

static void
manager_interface_init(GemDBusManagerIface *iface)
{
  iface->handle_ask = handle_ask;
  iface->handle_route = handle_route;
  iface->handle_classify = handle_classify;
  iface->handle_embed = handle_embed;
  iface->handle_score = handle_score;
  iface->handle_count_tokens = handle_count_tokens;
  iface->handle_create_session = handle_create_session;
  iface->handle_load_model = handle_load_model;
  iface->handle_adapt_domain = handle_adapt_domain;
  iface->handle_learned_domains = handle_learned_domains;
  iface->handle_forget_domain = handle_forget_domain;
  iface->handle_undo_adaptation = handle_undo_adaptation;
  iface->handle_share_domain = handle_share_domain;
  iface->handle_stats = handle_stats;
}

static void
get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  GemService *service = GEM_MANAGER_OBJECT(object)->service;
  GemEngine *engine = gem_service_get_engine(service);

  switch (id) {
  case PROP_RESIDENT_BYTES:
    g_value_set_uint64(value, engine != NULL ? gem_engine_get_resident_bytes(engine) : 0);
    break;
  case PROP_MEMORY_LIMIT:
    g_value_set_uint64(value, gem_service_get_config(service)->memory_limit);
    break;
  case PROP_MEMORY_STEP:
    g_value_set_uint(value, gem_memory_get_step(gem_service_get_memory(service)));
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

/* The skeleton's interface wants setters; nobody sets these. */
static void
set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
}

static void
gem_manager_object_class_init(GemManagerObjectClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS(klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  g_object_class_override_property(object_class, PROP_RESIDENT_BYTES, "resident-bytes");
  g_object_class_override_property(object_class, PROP_MEMORY_STEP, "memory-step");
  g_object_class_override_property(object_class, PROP_MEMORY_LIMIT, "memory-limit");
}

static void
gem_manager_object_init(GemManagerObject *self)
{
}

GemManagerObject *
gem_manager_object_new(GemService *service)
{
  GemManagerObject *self =
      g_object_new(GEM_TYPE_MANAGER_OBJECT, "version", GEM_VERSION, "model-state", "loading", NULL);

  self->service = service;
  return self;
}

void
gem_manager_object_update(GemManagerObject *self)
{
  GemDBusManager *manager = GEM_DBUS_MANAGER(self);
  GemModelHost *model = gem_service_get_model(self->service);
  GemEngine *engine = gem_model_host_get_engine(model);
  const GError *error = gem_model_host_get_error(model);

  if (engine != NULL) {
    gem_dbus_manager_set_model_name(manager, gem_engine_get_model_name(engine));
    gem_dbus_manager_set_context_tokens(manager, gem_engine_get_context(engine));
    gem_dbus_manager_set_domains(manager, gem_engine_get_domains(engine));
    gem_dbus_manager_set_threshold(manager, gem_engine_get_threshold(engine));
    gem_dbus_manager_set_attention(manager, gem_engine_get_attention(engine));
  }
  gem_dbus_manager_set_model_reason(manager, error != NULL ? error->message : "");
  gem_dbus_manager_set_model_state(manager, gem_model_host_get_state_name(model));
  g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(self));
}
