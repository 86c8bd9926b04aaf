/*
 * Finds, checks, opens and really closes the modules of gemd.
 *
 * Modules lie in fixed folders: DIR/router/bert.so, DIR/attention/scar.so, DIR/pathways/legal.so,
 * DIR/backends/cpu.so. A module is refused, with a message that names file and reason, unless
 *   - DIR, the kind's folder and the file are owned by root and writable by their owner alone. In any DIR but
 *     the installed one (only a developer's environment names another) they may belong to the effective user;
 *   - the kind's folder is a folder and the file a regular file, neither of them a symbolic link;
 *   - it exports gem_plugin_describe, and ABI major and minor, structure sizes, kind, name and a complete
 * table of functions hold. Nothing but gem_plugin_describe is called before that.
 */
#pragma once

#include <gio/gio.h>

#include "plugins/gem-plugin.h"

#define GEM_PLUGIN_LOADER_ERROR (gem_plugin_loader_error_quark())
GQuark
gem_plugin_loader_error_quark(void);

typedef enum {
  GEM_PLUGIN_LOADER_ERROR_MISSING, /* no folder has a module of that kind and name */
  GEM_PLUGIN_LOADER_ERROR_UNSAFE,  /* owner, mode or file type would let someone else's code in */
  GEM_PLUGIN_LOADER_ERROR_BROKEN,  /* cannot be loaded, or exports no entry */
  GEM_PLUGIN_LOADER_ERROR_SHORT,   /* cannot be loaded now: the process lacks memory or file descriptors */
  GEM_PLUGIN_LOADER_ERROR_ABI,     /* built for another ABI, or its description does not hold */
} GemPluginLoaderError;

/* Immutable; usable from any thread. */
typedef struct _GemPluginLoader GemPluginLoader;
/* One opened module; owned by who opened it. */
typedef struct _GemPluginModule GemPluginModule;

/* `dirs`: NULL-terminated, copied; the first that has a module wins. Never fails: a folder that is not there
 * has no modules. */
GemPluginLoader *
gem_plugin_loader_new(const char *const *dirs);
void
gem_plugin_loader_free(GemPluginLoader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPluginLoader, gem_plugin_loader_free)

/* "router", "attention", "pathways" or "backends": the folder of that kind. Static. */
const char *
gem_plugin_kind_folder(GemPluginKind kind);

/* Where it looks, as text: the folders with a colon between them. Transfer full. */
char *
gem_plugin_loader_describe_dirs(const GemPluginLoader *self);

/* Names of the modules of that kind by their file names, sorted, each once. Nothing is opened, so a module
 * that is listed may still be refused. Transfer full; NULL-terminated, never NULL. */
GStrv
gem_plugin_loader_list(const GemPluginLoader *self, GemPluginKind kind);

/* Opens the module `name` ([a-z0-9-]+) from the first folder that has one. A module that is refused there is
 * not looked for in later folders: what stands in front must be put right, not passed over in silence. */
GemPluginModule *
gem_plugin_loader_open(const GemPluginLoader *self, GemPluginKind kind, const char *name, GError **error);

/* The module's description and its file; valid until close. */
const GemPlugin *
gem_plugin_module_get(const GemPluginModule *self);
const char *
gem_plugin_module_get_path(const GemPluginModule *self);

/* Unmaps the module. Whatever was made by its functions must have been released by them before. */
void
gem_plugin_module_close(GemPluginModule *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPluginModule, gem_plugin_module_close)
