#include "daemon/bus/gem-private-tree.h"

#include <string.h>

struct _GemPrivateTree {
  GDBusConnection *connection;
  guint registration;
  GDBusInterfaceInfo *info;
  const GemPrivateFunctions *functions;
  GHashTable *nodes; /* node -> Node */
};

typedef struct {
  char *owner;
  gpointer object;
} Node;

static void
node_free(gpointer data)
{
  Node *node = data;

  g_free(node->owner);
  g_free(node);
}

gpointer
gem_private_tree_find(GemPrivateTree *self, const char *name, const char *owner)
{
  const Node *node = g_hash_table_lookup(self->nodes, name);

  return node != NULL && g_str_equal(node->owner, owner) ? node->object : NULL;
}

/* GDBus dispatches in two steps, so an object may be gone when its call arrives: each looks it up anew. */
static gpointer
find_by_path(GemPrivateTree *self, const char *path, const char *sender)
{
  return gem_private_tree_find(self, strrchr(path, '/') + 1, sender);
}

static void
on_call(GDBusConnection *connection,
        const char *sender,
        const char *path,
        const char *interface,
        const char *method,
        GVariant *parameters,
        GDBusMethodInvocation *invocation,
        gpointer data)
{
  GemPrivateTree *self = data;
  gpointer object = find_by_path(self, path, sender);

  if (object == NULL) {
    g_dbus_method_invocation_return_error(invocation, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT,
                                          "no object at %s", path);
    return;
  }
  self->functions->call(object, method, parameters, invocation);
}

static GVariant *
on_get(GDBusConnection *connection,
       const char *sender,
       const char *path,
       const char *interface,
       const char *property,
       GError **error,
       gpointer data)
{
  GemPrivateTree *self = data;
  gpointer object = find_by_path(self, path, sender);

  if (object == NULL) {
    g_set_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT, "no object at %s", path);
    return NULL;
  }
  return self->functions->get(object, property);
}

static char **
on_enumerate(GDBusConnection *connection, const char *sender, const char *path, gpointer data)
{
  GemPrivateTree *self = data;
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  GHashTableIter iter;
  gpointer name;
  gpointer node;

  g_hash_table_iter_init(&iter, self->nodes);
  while (g_hash_table_iter_next(&iter, &name, &node)) {
    if (g_str_equal(((Node *)node)->owner, sender)) {
      g_ptr_array_add(names, g_strdup(name));
    }
  }
  g_ptr_array_add(names, NULL);
  return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static GDBusInterfaceInfo **
on_introspect(
    GDBusConnection *connection, const char *sender, const char *path, const char *node, gpointer data)
{
  GemPrivateTree *self = data;
  GDBusInterfaceInfo **infos;

  if (node == NULL || gem_private_tree_find(self, node, sender) == NULL) {
    return NULL;
  }
  infos = g_new0(GDBusInterfaceInfo *, 2);
  infos[0] = g_dbus_interface_info_ref(self->info);
  return infos;
}

static const GDBusInterfaceVTable *
on_dispatch(GDBusConnection *connection,
            const char *sender,
            const char *path,
            const char *interface,
            const char *node,
            gpointer *ret_data,
            gpointer data)
{
  static const GDBusInterfaceVTable vtable = {.method_call = on_call, .get_property = on_get};
  GemPrivateTree *self = data;

  if (node == NULL || gem_private_tree_find(self, node, sender) == NULL) {
    return NULL;
  }
  *ret_data = self;
  return &vtable;
}

GemPrivateTree *
gem_private_tree_new(GDBusConnection *connection,
                     const char *path,
                     GDBusInterfaceInfo *info,
                     const GemPrivateFunctions *functions,
                     GError **error)
{
  static const GDBusSubtreeVTable vtable = {on_enumerate, on_introspect, on_dispatch, {NULL}};
  g_autoptr(GemPrivateTree) self = g_new0(GemPrivateTree, 1);

  self->connection = g_object_ref(connection);
  self->info = info;
  self->functions = functions;
  self->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free);
  self->registration = g_dbus_connection_register_subtree(connection, path, &vtable,
                                                          G_DBUS_SUBTREE_FLAGS_NONE, self, NULL, error);
  return self->registration != 0 ? g_steal_pointer(&self) : NULL;
}

void
gem_private_tree_free(GemPrivateTree *self)
{
  if (self->registration != 0) {
    g_dbus_connection_unregister_subtree(self->connection, self->registration);
  }
  g_hash_table_unref(self->nodes);
  g_object_unref(self->connection);
  g_free(self);
}

void
gem_private_tree_add(GemPrivateTree *self, const char *name, const char *owner, gpointer object)
{
  Node *node = g_new(Node, 1);

  g_return_if_fail(!g_hash_table_contains(self->nodes, name));
  *node = (Node){g_strdup(owner), object};
  g_hash_table_insert(self->nodes, g_strdup(name), node);
}

void
gem_private_tree_remove(GemPrivateTree *self, const char *name)
{
  g_hash_table_remove(self->nodes, name);
}
