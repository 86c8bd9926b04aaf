#include "daemon/service/gem-model-objects.h"

#include "daemon/base/gem-log.h"
#include "daemon/service/gem-pathway-object.h"
#include "daemon/service/gem-service.h"
#include "dbus/gem-names.h"

struct _GemModelObjects {
  GemService *service;
  GDBusObjectManagerServer *manager;
  GHashTable *interfaces; /* path -> GDBusInterfaceSkeleton */
};

GemModelObjects *
gem_model_objects_new(GemService *service, GDBusObjectManagerServer *manager)
{
  GemModelObjects *self = g_new0(GemModelObjects, 1);

  self->service = service;
  self->manager = g_object_ref(manager);
  self->interfaces = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_object_unref);
  return self;
}

void
gem_model_objects_free(GemModelObjects *self)
{
  g_hash_table_unref(self->interfaces);
  g_object_unref(self->manager);
  g_free(self);
}

static char *
object_path(const char *parent, const char *name)
{
  g_autofree char *element = g_dbus_escape_object_path(name);

  return g_strconcat(parent, "/", element, NULL);
}

/* The interface that stands at `path` already, now in `wanted` too; NULL: none does. */
static gpointer
objects_keep(GemModelObjects *self, const char *path, GHashTable *wanted)
{
  gpointer interface = g_hash_table_lookup(self->interfaces, path);

  if (interface != NULL) {
    g_hash_table_insert(wanted, g_strdup(path), g_object_ref(interface));
  }
  return interface;
}

/* Takes `interface`. */
static void
objects_add(GemModelObjects *self, const char *path, gpointer interface, GHashTable *wanted)
{
  g_autoptr(GDBusObjectSkeleton) object = g_dbus_object_skeleton_new(path);

  g_dbus_object_skeleton_add_interface(object, interface);
  g_dbus_object_manager_server_export(self->manager, object);
  g_hash_table_insert(wanted, g_strdup(path), interface);
}

static void
objects_put_pathway(GemModelObjects *self, GemEngine *engine, const char *domain, GHashTable *wanted)
{
  g_autofree char *path = object_path(GEM_PATHWAY_PATH, domain);
  g_autoptr(GemPathwayInfo) info = gem_engine_get_pathway(engine, domain);
  GemPathwayObject *pathway = objects_keep(self, path, wanted);

  if (pathway != NULL) {
    gem_pathway_object_update(pathway);
  } else {
    objects_add(self, path, gem_pathway_object_new(self->service, domain), wanted);
  }
  if (info->reason != NULL) {
    gem_log(LOG_WARNING, GEM_LOG_PATHWAY_ABSENT, (const char *[]){"GEM_PATHWAY", domain, NULL},
            "pathway %s is absent: %s", domain, info->reason);
  }
}

static void
objects_put_backend(GemModelObjects *self, const GemBackendInfo *info, GHashTable *wanted)
{
  g_autofree char *path = object_path(GEM_BACKEND_PATH, info->name);
  GemDBusBackend *backend = objects_keep(self, path, wanted);
  gboolean is_new = backend == NULL;

  if (is_new) {
    backend = gem_dbus_backend_skeleton_new();
  }
  gem_dbus_backend_set_name(backend, info->name);
  gem_dbus_backend_set_version(backend, info->version);
  gem_dbus_backend_set_device(backend, info->device);
  gem_dbus_backend_set_kernels(backend, info->kernels);
  gem_dbus_backend_set_score(backend, info->score);
  gem_dbus_backend_set_in_use(backend, info->in_use);
  gem_dbus_backend_set_reason(backend, info->reason);
  if (is_new) {
    objects_add(self, path, backend, wanted);
  }
}

static void
objects_drop_others(GemModelObjects *self, GHashTable *wanted)
{
  GHashTableIter iter;
  gpointer path;

  g_hash_table_iter_init(&iter, self->interfaces);
  while (g_hash_table_iter_next(&iter, &path, NULL)) {
    if (!g_hash_table_contains(wanted, path)) {
      g_dbus_object_manager_server_unexport(self->manager, path);
    }
  }
}

void
gem_model_objects_update(GemModelObjects *self, GemEngine *engine)
{
  const char *const *domains = gem_engine_get_domains(engine);
  g_autoptr(GPtrArray) backends = gem_engine_list_backends(engine);
  GHashTable *wanted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_object_unref);

  objects_put_pathway(self, engine, "general", wanted);
  for (gsize i = 0; domains[i] != NULL; i++) {
    objects_put_pathway(self, engine, domains[i], wanted);
  }
  for (guint i = 0; i < backends->len; i++) {
    objects_put_backend(self, g_ptr_array_index(backends, i), wanted);
  }
  objects_drop_others(self, wanted);
  g_hash_table_unref(self->interfaces);
  self->interfaces = wanted;
}
