#include "daemon/service/gem-pathway-object.h"

#include "daemon/base/gem-log.h"
#include "daemon/service/gem-authorize.h"
#include "daemon/service/gem-service.h"

struct _GemPathwayObject {
  GemDBusPathwaySkeleton parent_instance;
  GemService *service;
  guint pinning;       /* calls that pin, and wait for the weights */
  gboolean pin_stands; /* whatever becomes of those: it stood before them, or one of them succeeded */
};

/* Those that change are asked of the engine each time; the others stand in the skeleton. */
enum { PROP_STATE = 1, PROP_REASON, PROP_BACKEND, PROP_PLACEMENT, PROP_RESIDENT_BYTES, PROP_PINNED };

static void
pathway_interface_init(GemDBusPathwayIface *iface);

G_DEFINE_TYPE_WITH_CODE(GemPathwayObject,
                        gem_pathway_object,
                        GEM_DBUS_TYPE_PATHWAY_SKELETON,
                        G_IMPLEMENT_INTERFACE(GEM_DBUS_TYPE_PATHWAY, pathway_interface_init))

/* NULL once the engine has stopped. */
static GemPathwayInfo *
pathway_get_info(GemPathwayObject *self)
{
  const char *domain = gem_dbus_pathway_get_domain(GEM_DBUS_PATHWAY(self));

  return gem_engine_get_pathway(gem_service_get_engine(self->service), domain);
}

static const char *
state_name(GemPathwayState state)
{
  static const char *const names[] = {"absent", "loading", "resident"};

  return names[state];
}

static GVariant *
list_places(const GemPathwayInfo *info)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(usdd)"));
  for (guint i = 0; i < info->n_places; i++) {
    const GemPathwayPlace *place = &info->places[i];
    g_variant_builder_add(&builder, "(usdd)", place->rows, place->backend, place->us, place->device_us);
  }
  return g_variant_builder_end(&builder);
}

static void
get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  static const GemPathwayInfo stopped = {.state = GEM_PATHWAY_ABSENT};
  g_autoptr(GemPathwayInfo) current = pathway_get_info(GEM_PATHWAY_OBJECT(object));
  const GemPathwayInfo *info = current != NULL ? current : &stopped;

  switch (id) {
  case PROP_STATE:
    g_value_set_string(value, state_name(info->state));
    break;
  case PROP_REASON:
    g_value_set_string(value, info->reason != NULL ? info->reason : "");
    break;
  case PROP_BACKEND:
    g_value_set_string(value, info->backend != NULL ? info->backend : "");
    break;
  case PROP_PLACEMENT:
    g_value_set_variant(value, list_places(info));
    break;
  case PROP_RESIDENT_BYTES:
    g_value_set_uint64(value, info->resident_bytes);
    break;
  case PROP_PINNED:
    g_value_set_boolean(value, info->pinned);
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

/* ---- PageIn and PageOut ---- */

static void
on_paged(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GemPathwayObject *self = gem_call_get_target(call);
  const char *domain = gem_dbus_pathway_get_domain(GEM_DBUS_PATHWAY(self));
  g_autoptr(GError) error = NULL;
  g_autoptr(GemPathwayInfo) info = NULL;
  g_autofree char *time =
      g_strdup_printf("%" G_GINT64_FORMAT, g_get_monotonic_time() - gem_call_get_arrival(call));

  if (!gem_engine_page_finish(GEM_ENGINE(source), result, &error)) {
    gem_call_fail(call, g_steal_pointer(&error));
    return;
  }
  info = gem_engine_get_pathway(GEM_ENGINE(source), domain);
  if (info != NULL) {
    gem_log(
        LOG_NOTICE, GEM_LOG_PATHWAY_PAGED, (const char *[]){"GEM_PATHWAY", domain, "GEM_USEC", time, NULL},
        "pathway %s: %s, %" G_GUINT64_FORMAT " bytes", domain, state_name(info->state), info->resident_bytes);
  }
  gem_call_return(call, NULL);
}

static void
page(GemCall *call, gboolean in)
{
  GemDBusPathway *self = GEM_DBUS_PATHWAY(gem_call_get_target(call));
  g_auto(GemCallOptions) options = {0};

  gem_call_take_model(call); /* polkit may have taken its time */
  if (!gem_call_read_options(call, 0, GEM_OPTIONS_NONE, 0, &options)) {
    return;
  }
  (in ? gem_engine_page_in_async : gem_engine_page_out_async)(gem_call_get_engine(call),
                                                              gem_dbus_pathway_get_domain(self),
                                                              gem_call_get_cancellable(call), on_paged, call);
}

static void
page_in(GemCall *call)
{
  page(call, TRUE);
}

static void
page_out(GemCall *call)
{
  page(call, FALSE);
}

static void
run_page_in(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_MANAGE_PATHWAYS, page_in);
}

static void
run_page_out(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_MANAGE_PATHWAYS, page_out);
}

static gboolean
handle_page_in(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, GVariant *options)
{
  gem_call_begin(GEM_PATHWAY_OBJECT(pathway)->service, invocation, pathway, run_page_in);
  return TRUE;
}

static gboolean
handle_page_out(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, GVariant *options)
{
  gem_call_begin(GEM_PATHWAY_OBJECT(pathway)->service, invocation, pathway, run_page_out);
  return TRUE;
}

/* ---- Hold and Release ---- */

static void
run_hold(GemCall *call)
{
  gem_holds_take(gem_service_get_holds(gem_call_get_service(call)), call,
                 gem_dbus_pathway_get_domain(gem_call_get_target(call)));
}

static void
run_release(GemCall *call)
{
  gem_holds_release(gem_service_get_holds(gem_call_get_service(call)), call,
                    gem_dbus_pathway_get_domain(gem_call_get_target(call)));
}

static gboolean
handle_hold(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, GVariant *options)
{
  gem_call_begin(GEM_PATHWAY_OBJECT(pathway)->service, invocation, pathway, run_hold);
  return TRUE;
}

static gboolean
handle_release(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, guint cookie)
{
  gem_call_begin(GEM_PATHWAY_OBJECT(pathway)->service, invocation, pathway, run_release);
  return TRUE;
}

/* ---- Pinned: set like a method is called, since polkit is asked first ---- */

static void
on_pinned(GObject *source, GAsyncResult *result, gpointer data)
{
  GemCall *call = data;
  GemPathwayObject *self = gem_call_get_target(call);
  const char *domain = gem_dbus_pathway_get_domain(GEM_DBUS_PATHWAY(self));
  GError *error = NULL;

  self->pinning--;
  if (!gem_engine_page_finish(GEM_ENGINE(source), result, &error)) {
    if (self->pinning == 0 && !self->pin_stands) {
      gem_engine_set_pinned(GEM_ENGINE(source), domain, FALSE);
    }
    gem_call_fail(call, error);
    return;
  }
  self->pin_stands = TRUE;
  gem_log(LOG_NOTICE, GEM_LOG_PATHWAY_PAGED, (const char *[]){"GEM_PATHWAY", domain, NULL},
          "pathway %s: pinned", domain);
  gem_call_return(call, NULL);
}

static void
set_pinned(GemCall *call)
{
  GemPathwayObject *self = gem_call_get_target(call);
  const char *domain = gem_dbus_pathway_get_domain(GEM_DBUS_PATHWAY(self));
  g_autoptr(GVariant) boxed = g_variant_get_child_value(gem_call_get_parameters(call), 2);
  g_autoptr(GVariant) value = g_variant_get_variant(boxed);
  gboolean pinned = g_variant_get_boolean(value);
  g_autoptr(GemPathwayInfo) info = NULL;
  GemEngine *engine;

  gem_call_take_model(call); /* polkit may have taken its time */
  engine = gem_call_get_engine(call);
  info = gem_engine_get_pathway(engine, domain);
  gem_engine_set_pinned(engine, domain, pinned);
  if (!pinned) {
    self->pin_stands = FALSE;
    gem_call_return(call, NULL);
    return;
  }
  if (self->pinning == 0) {
    self->pin_stands = info != NULL && info->pinned;
  }
  self->pinning++;
  gem_engine_page_in_async(engine, domain, gem_call_get_cancellable(call), on_pinned, call);
}

static void
run_set_pinned(GemCall *call)
{
  gem_authorize(call, GEM_ACTION_MANAGE_PATHWAYS, set_pinned);
}

/* What GDBus leaves to its callee when there is no function that sets properties: org.freedesktop.DBus.
 * Properties.Set, with the property's name and type looked at; here Pinned, the only one that can be set. */
static void
on_method_call(GDBusConnection *connection,
               const char *sender,
               const char *path,
               const char *interface,
               const char *method,
               GVariant *parameters,
               GDBusMethodInvocation *invocation,
               gpointer data)
{
  GemPathwayObject *self = data;
  GDBusInterfaceSkeletonClass *parent = G_DBUS_INTERFACE_SKELETON_CLASS(gem_pathway_object_parent_class);

  if (g_str_equal(interface, "org.freedesktop.DBus.Properties") && g_str_equal(method, "Set")) {
    gem_call_begin(self->service, invocation, self, run_set_pinned);
  } else {
    parent->get_vtable(G_DBUS_INTERFACE_SKELETON(self))
        ->method_call(connection, sender, path, interface, method, parameters, invocation, data);
  }
}

static GDBusInterfaceVTable *
get_vtable(GDBusInterfaceSkeleton *interface)
{
  static GDBusInterfaceVTable vtable;
  GDBusInterfaceSkeletonClass *parent = G_DBUS_INTERFACE_SKELETON_CLASS(gem_pathway_object_parent_class);

  vtable = *parent->get_vtable(interface);
  vtable.method_call = on_method_call;
  vtable.set_property = NULL;
  return &vtable;
}

static void
pathway_interface_init(GemDBusPathwayIface *iface)
{
  iface->handle_hold = handle_hold;
  iface->handle_release = handle_release;
  iface->handle_page_in = handle_page_in;
  iface->handle_page_out = handle_page_out;
}

static void
gem_pathway_object_class_init(GemPathwayObjectClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS(klass);

  object_class->get_property = get_property;
  object_class->set_property = set_property;
  g_object_class_override_property(object_class, PROP_STATE, "state");
  g_object_class_override_property(object_class, PROP_REASON, "reason");
  g_object_class_override_property(object_class, PROP_BACKEND, "backend");
  g_object_class_override_property(object_class, PROP_PLACEMENT, "placement");
  g_object_class_override_property(object_class, PROP_RESIDENT_BYTES, "resident-bytes");
  g_object_class_override_property(object_class, PROP_PINNED, "pinned");
  G_DBUS_INTERFACE_SKELETON_CLASS(klass)->get_vtable = get_vtable;
}

static void
gem_pathway_object_init(GemPathwayObject *self)
{
}

GemPathwayObject *
gem_pathway_object_new(GemService *service, const char *domain)
{
  GemPathwayObject *self = g_object_new(GEM_TYPE_PATHWAY_OBJECT, "domain", domain, NULL);

  self->service = service;
  gem_pathway_object_update(self);
  return self;
}

void
gem_pathway_object_update(GemPathwayObject *self)
{
  g_autoptr(GemPathwayInfo) info = pathway_get_info(self);

  gem_dbus_pathway_set_bits(GEM_DBUS_PATHWAY(self), info->bits);
  gem_dbus_pathway_set_file_bytes(GEM_DBUS_PATHWAY(self), info->file_bytes);
}
