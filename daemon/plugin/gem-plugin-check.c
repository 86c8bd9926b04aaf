#include "daemon/plugin/gem-plugin-check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether `dir` is the folder that the package installs to, under whatever name. */
static gboolean
is_installed_dir(const char *dir)
{
  struct stat installed;
  struct stat status;
  return stat(GEM_INSTALLED_PLUGIN_DIR, &installed) == 0 && stat(dir, &status) == 0 &&
         installed.st_dev == status.st_dev && installed.st_ino == status.st_ino;
}

static gboolean
check_owner_and_mode(const char *path, const struct stat *status, gboolean own_files, GError **error)
{
  if (status->st_uid != 0 && !(own_files && status->st_uid == geteuid())) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_UNSAFE,
                "%s: belongs to user %u, but must belong to root%s", path, (guint)status->st_uid,
                own_files ? " or to the user that runs the service" : "");
    return FALSE;
  }
  if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_UNSAFE,
                "%s: is writable by its %s (mode %04o)", path,
                (status->st_mode & S_IWOTH) != 0 ? "group or others" : "group",
                (guint)(status->st_mode & 07777));
    return FALSE;
  }
  return TRUE;
}

/* Type (S_IFDIR or S_IFREG), owner and mode of one path; `follow`: a symbolic link to it will do. */
static gboolean
check_path(const char *path, mode_t type, gboolean follow, gboolean own_files, GError **error)
{
  struct stat status;
  if ((follow ? stat(path, &status) : lstat(path, &status)) != 0) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_UNSAFE, "%s: cannot be examined: %s",
                path, g_strerror(errno));
    return FALSE;
  }
  if ((status.st_mode & S_IFMT) != type) {
    g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_UNSAFE, "%s: is %s, not a %s", path,
                S_ISLNK(status.st_mode) ? "a symbolic link" : "something else",
                type == S_IFDIR ? "folder" : "regular file");
    return FALSE;
  }
  return check_owner_and_mode(path, &status, own_files, error);
}

gboolean
gem_plugin_check_file(const char *dir, const char *path, GError **error)
{
  gboolean own_files = !is_installed_dir(dir);
  g_autofree char *folder = g_path_get_dirname(path);

  /* Folders first: in one that others may write to, nothing that is seen of the file would last. */
  return check_path(dir, S_IFDIR, TRUE, own_files, error) &&
         check_path(folder, S_IFDIR, FALSE, own_files, error) &&
         check_path(path, S_IFREG, FALSE, own_files, error);
}

static gsize
router_table_size(guint32 minor)
{
  if (minor >= 2) {
    return sizeof(GemRouterFunctions);
  }
  return minor == 1 ? G_STRUCT_OFFSET(GemRouterFunctions, row_width)
                    : G_STRUCT_OFFSET(GemRouterFunctions, set_go_on);
}

static gsize
backend_table_size(guint32 minor)
{
  if (minor >= 5) {
    return sizeof(GemBackendFunctions);
  }
  if (minor >= 4) {
    return G_STRUCT_OFFSET(GemBackendFunctions, linear_add);
  }
  return minor >= 2 ? G_STRUCT_OFFSET(GemBackendFunctions, expect)
                    : G_STRUCT_OFFSET(GemBackendFunctions, compile);
}

/* Size of a kind's table in ABI 1.`minor`. */
static gsize
table_size(GemPluginKind kind, guint32 minor)
{
  switch (kind) {
  case GEM_PLUGIN_ROUTER:
    return router_table_size(minor);
  case GEM_PLUGIN_ATTENTION:
    return sizeof(GemAttentionFunctions);
  case GEM_PLUGIN_PATHWAY:
    return minor >= 2 ? sizeof(GemPathwayFunctions) : G_STRUCT_OFFSET(GemPathwayFunctions, try_apply);
  case GEM_PLUGIN_BACKEND:
    return backend_table_size(minor);
  }
  return G_MAXSIZE;
}

static gboolean
refuse(GError **error, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Always FALSE, so that a check may end in it. */
static gboolean
refuse(GError **error, const char *path, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *reason = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_ABI, "%s: %s", path, reason);
  return FALSE;
}

/* The fields that say how the others may be read. */
static gboolean
check_abi(const GemPlugin *plugin, const char *path, GError **error)
{
  if (plugin == NULL) {
    return refuse(error, path, "describes nothing");
  }
  if (plugin->abi_major != GEM_PLUGIN_ABI_MAJOR) {
    return refuse(error, path, "was built for plugin ABI %u.x, this service has %u.%u", plugin->abi_major,
                  GEM_PLUGIN_ABI_MAJOR, GEM_PLUGIN_ABI_MINOR);
  }
  if (plugin->abi_minor > GEM_PLUGIN_ABI_MINOR) {
    return refuse(error, path, "was built for plugin ABI %u.%u, newer than this service's %u.%u",
                  plugin->abi_major, plugin->abi_minor, GEM_PLUGIN_ABI_MAJOR, GEM_PLUGIN_ABI_MINOR);
  }
  if (plugin->struct_size < sizeof(GemPlugin)) {
    return refuse(error, path, "its description has %u bytes, ABI %u.%u needs %zu", plugin->struct_size,
                  plugin->abi_major, plugin->abi_minor, sizeof(GemPlugin));
  }
  return TRUE;
}

/* Whether an entry may be missing: a backend has what runs whole pathways, or everything else, and need not
 * keep matrices nor add to what it multiplies. */
static gboolean
may_be_missing(GemPluginKind kind, const void *functions, gsize needed, gsize offset)
{
  if (kind != GEM_PLUGIN_BACKEND || offset < G_STRUCT_OFFSET(GemBackendFunctions, group_begin)) {
    return FALSE;
  }
  if (offset >= G_STRUCT_OFFSET(GemBackendFunctions, expect)) {
    return TRUE;
  }
  gboolean is_device = needed > G_STRUCT_OFFSET(GemBackendFunctions, compile) &&
                       ((const GemBackendFunctions *)functions)->compile != NULL;
  return (offset >= G_STRUCT_OFFSET(GemBackendFunctions, compile)) != is_device;
}

/* Every entry of the table is a function pointer. */
static gboolean
check_functions(const GemPlugin *plugin, const char *path, GemPluginKind kind, GError **error)
{
  gsize needed = table_size(kind, plugin->abi_minor);
  if (plugin->functions == NULL || plugin->functions_size < needed) {
    return refuse(error, path, "its table of functions has %u bytes, the kind “%s” of ABI %u.%u needs %zu",
                  plugin->functions != NULL ? plugin->functions_size : 0, gem_plugin_kind_folder(kind),
                  plugin->abi_major, plugin->abi_minor, needed);
  }
  for (gsize i = 0; i < needed / sizeof(void *); i++) {
    void *function;
    memcpy(&function, (const char *)plugin->functions + i * sizeof(void *), sizeof function);
    if (function == NULL && !may_be_missing(kind, plugin->functions, needed, i * sizeof(void *))) {
      return refuse(error, path, "function %zu of %zu of its table is missing", i + 1,
                    needed / sizeof(void *));
    }
  }
  return TRUE;
}

gboolean
gem_plugin_check_description(
    const GemPlugin *plugin, const char *path, GemPluginKind kind, const char *name, GError **error)
{
  if (!check_abi(plugin, path, error)) {
    return FALSE;
  }
  if (plugin->kind != (guint32)kind) {
    return refuse(error, path, "is of kind %u, the folder “%s” holds kind %u", plugin->kind,
                  gem_plugin_kind_folder(kind), (guint)kind);
  }
  if (g_strcmp0(plugin->name, name) != 0) {
    return refuse(error, path, "calls itself “%s”, its file is called “%s”",
                  plugin->name != NULL ? plugin->name : "", name);
  }
  if (plugin->version == NULL || plugin->license == NULL || plugin->summary == NULL) {
    return refuse(error, path, "states no %s",
                  plugin->version == NULL   ? "version"
                  : plugin->license == NULL ? "license"
                                            : "summary");
  }
  return check_functions(plugin, path, kind, error);
}
