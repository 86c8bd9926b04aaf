/*
 * Objects that exist for their owner alone: a D-Bus subtree in which every connection sees, introspects and
 * calls its own nodes only. For everyone else there is no such object.
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemPrivateTree GemPrivateTree;

typedef struct {
  /* Takes `invocation`. */
  void (*call)(gpointer object, const char *method, GVariant *parameters, GDBusMethodInvocation *invocation);
  GVariant *(*get)(gpointer object, const char *property); /* NULL when the interface has no properties */
} GemPrivateFunctions;

/* Nodes stand at PATH/NODE and have one interface. `info` and `functions` must outlive the tree. */
GemPrivateTree *
gem_private_tree_new(GDBusConnection *connection,
                     const char *path,
                     GDBusInterfaceInfo *info,
                     const GemPrivateFunctions *functions,
                     GError **error);
/* The objects are not the tree's. */
void
gem_private_tree_free(GemPrivateTree *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPrivateTree, gem_private_tree_free)

/* `owner` is a unique name; `node` must be free. */
void
gem_private_tree_add(GemPrivateTree *self, const char *node, const char *owner, gpointer object);
void
gem_private_tree_remove(GemPrivateTree *self, const char *node);
/* The object; NULL when there is none or `owner` is not its owner. */
gpointer
gem_private_tree_find(GemPrivateTree *self, const char *node, const char *owner);
