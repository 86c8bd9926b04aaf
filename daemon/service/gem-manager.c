#include "daemon/service/gem-manager.h"

#include "daemon/base/gem-version.h"
#include "daemon/service/gem-adapt.h"
#include "daemon/service/gem-authorize.h"
#include "daemon/service/gem-load-model.h"
#include "daemon/service/gem-service.h"
#include "daemon/service/gem-text-calls.h"

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

/* For what needs no model. */
static gboolean
manager_begin_plain(GemDBusManager *manager, GDBusMethodInvocation *invocation, GemCallRun run)
{
  gem_call_begin_plain(GEM_MANAGER_OBJECT(manager)->service, invocation, manager, run);
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
  return manager_begin_heavy(manager, invocation, gem_route_run);
}

static gboolean
handle_classify(GemDBusManager *manager,
                GDBusMethodInvocation *invocation,
                const char *text,
                const char *const *labels,
                GVariant *options)
{
  return manager_begin_heavy(manager, invocation, gem_classify_run);
}

static gboolean
handle_embed(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin_heavy(manager, invocation, gem_embed_run);
}

static gboolean
handle_score(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, GVariant *options)
{
  return manager_begin_heavy(manager, invocation, gem_score_run);
}

static gboolean
handle_count_tokens(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text)
{
  return manager_begin_heavy(manager, invocation, gem_count_tokens_run);
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
  return manager_begin_plain(manager, invocation, gem_load_model_run);
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
  return manager_begin_plain(manager, invocation, gem_adapt_list_run);
}

static gboolean
handle_forget_domain(GemDBusManager *manager,
                     GDBusMethodInvocation *invocation,
                     const char *name,
                     GVariant *options)
{
  return manager_begin_plain(manager, invocation, gem_adapt_forget_run);
}

static gboolean
handle_undo_adaptation(GemDBusManager *manager,
                       GDBusMethodInvocation *invocation,
                       const char *name,
                       GVariant *options)
{
  return manager_begin_plain(manager, invocation, gem_adapt_undo_run);
}

static gboolean
handle_share_domain(GemDBusManager *manager,
                    GDBusMethodInvocation *invocation,
                    guint uid,
                    const char *name,
                    gboolean shared,
                    GVariant *options)
{
  return manager_begin_plain(manager, invocation, gem_adapt_share_run);
}

static gboolean
handle_stats(GemDBusManager *manager, GDBusMethodInvocation *invocation, GVariant *options)
{
  return manager_begin_plain(manager, invocation, run_stats);
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
    gem_dbus_manager_set_model_digest(manager, gem_engine_get_model_digest(engine));
    gem_dbus_manager_set_context_tokens(manager, gem_engine_get_context(engine));
    gem_dbus_manager_set_domains(manager, gem_engine_get_domains(engine));
    gem_dbus_manager_set_threshold(manager, gem_engine_get_threshold(engine));
    gem_dbus_manager_set_attention(manager, gem_engine_get_attention(engine));
  }
  gem_dbus_manager_set_model_reason(manager, error != NULL ? error->message : "");
  gem_dbus_manager_set_model_state(manager, gem_model_host_get_state_name(model));
  g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(self));
}
