#include "daemon/plugin/gem-plugin-loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/plugin/gem-plugin-check.h"

struct _GemPluginLoader {
  GStrv dirs;
};

struct _GemPluginModule {
  void *handle; /* of dlopen */
  const GemPlugin *plugin;
  char *path;
};

G_DEFINE_QUARK(gem - plugin - loader - error - quark, gem_plugin_loader_error)

GemPluginLoader *
gem_plugin_loader_new(const char *const *dirs)
{
  GemPluginLoader *self = g_new0(GemPluginLoader, 1);
  self->dirs = g_strdupv((GStrv)dirs);
  return self;
}

void
gem_plugin_loader_free(GemPluginLoader *self)
{
  g_strfreev(self->dirs);
  g_free(self);
}

char *
gem_plugin_loader_describe_dirs(const GemPluginLoader *self)
{
  return self->dirs != NULL ? g_strjoinv(":", self->dirs) : g_strdup("");
}

const char *
gem_plugin_kind_folder(GemPluginKind kind)
{
  switch (kind) {
  case GEM_PLUGIN_ROUTER:
    return "router";
  case GEM_PLUGIN_ATTENTION:
    return "attention";
  case GEM_PLUGIN_PATHWAY:
    return "pathways";
  case GEM_PLUGIN_BACKEND:
    return "backends";
  }
  g_return_val_if_reached("");
}

/* A name that is safe to put into a path: [a-z0-9-]+. */
static gboolean
name_is_plain(const char *name)
{
  return name[0] != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static gint
compare_names(gconstpointer a, gconstpointer b)
{
  return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

GStrv
gem_plugin_loader_list(const GemPluginLoader *self, GemPluginKind kind)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  for (char **dir = self->dirs; dir != NULL && *dir != NULL; dir++) {
    g_autofree char *folder = g_build_filename(*dir, gem_plugin_kind_folder(kind), NULL);
    g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
    const char *file;
    while (entries != NULL && (file = g_dir_read_name(entries)) != NULL) {
      if (!g_str_has_suffix(file, ".so")) {
        continue;
      }
      g_autofree char *name = g_strndup(file, strlen(file) - strlen(".so"));
      if (name_is_plain(name) && !g_hash_table_contains(seen, name)) {
        g_hash_table_add(seen, name);
        g_ptr_array_add(names, g_steal_pointer(&name));
      }
    }
  }
  g_ptr_array_sort(names, compare_names);
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

/* The first DIR/KIND/NAME.so that exists, be it safe or not; its DIR in ret_dir (borrowed). */
static char *
find_file(const GemPluginLoader *self, GemPluginKind kind, const char *name, const char **ret_dir)
{
  g_autofree char *file = g_strconcat(name, ".so", NULL);
  for (char **dir = self->dirs; dir != NULL && *dir != NULL; dir++) {
    g_autofree char *path = g_build_filename(*dir, gem_plugin_kind_folder(kind), file, NULL);
    struct stat status;
    if (lstat(path, &status) == 0) {
      *ret_dir = *dir;
      return g_steal_pointer(&path);
    }
  }
  return NULL;
}

/* dlopen has no number for its reason: the words of the one that it met end its own. */
static gboolean
is_shortage(const char *reason)
{
  static const int numbers[] = {ENOMEM, EMFILE, ENFILE};
  for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
    if (reason != NULL && g_str_has_suffix(reason, g_strerror(numbers[i]))) {
      return TRUE;
    }
  }
  return FALSE;
}

/* Loads the library, calls its entry and has the description checked; the library is closed again when the
 * description does not hold. */
static GemPluginModule *
load(const char *path, GemPluginKind kind, const char *name, GError **error)
{
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    const char *reason = dlerror();
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR,
                is_shortage(reason) ? GEM_PLUGIN_LOADER_ERROR_SHORT : GEM_PLUGIN_LOADER_ERROR_BROKEN,
                "%s: cannot be loaded: %s", path, reason != NULL ? reason : "no reason given");
    return NULL;
  }

  GemPluginDescribe describe = (GemPluginDescribe)dlsym(handle, GEM_PLUGIN_ENTRY);
  const GemPlugin *plugin = NULL;
  if (describe == NULL) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_BROKEN, "%s: exports no %s", path,
                GEM_PLUGIN_ENTRY);
  } else {
    plugin = describe();
  }
  if (describe == NULL || !gem_plugin_check_description(plugin, path, kind, name, error)) {
    dlclose(handle);
    return NULL;
  }

  GemPluginModule *module = g_new0(GemPluginModule, 1);
  module->handle = handle;
  module->plugin = plugin;
  module->path = g_strdup(path);
  return module;
}

GemPluginModule *
gem_plugin_loader_open(const GemPluginLoader *self, GemPluginKind kind, const char *name, GError **error)
{
  if (!name_is_plain(name)) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_MISSING,
                "“%s” is no name of a module: a-z, 0-9 and “-” only", name);
    return NULL;
  }

  const char *dir = NULL;
  g_autofree char *path = find_file(self, kind, name, &dir);
  if (path == NULL) {
    g_autofree char *dirs = gem_plugin_loader_describe_dirs(self);
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_MISSING, "no module %s/%s.so in %s",
                gem_plugin_kind_folder(kind), name, dirs);
    return NULL;
  }
  if (!gem_plugin_check_file(dir, path, error)) {
    return NULL;
  }
  return load(path, kind, name, error);
}

const GemPlugin *
gem_plugin_module_get(const GemPluginModule *self)
{
  return self->plugin;
}

const char *
gem_plugin_module_get_path(const GemPluginModule *self)
{
  return self->path;
}

void
gem_plugin_module_close(GemPluginModule *self)
{
  if (dlclose(self->handle) != 0) {
    g_warning("%s: cannot be closed: %s", self->path, dlerror());
  }
  g_free(self->path);
  g_free(self);
}
