/*
 * What a module's file and its description must hold before anything of it is used; see gem-plugin-loader.h.
 * Each refusal is a GEM_PLUGIN_LOADER_ERROR whose message names the file and the reason.
 */
#pragma once

#include "daemon/plugin/gem-plugin-loader.h"

/* Owner, mode and type of DIR, of the folder that `path` lies in, and of the file. UNSAFE. */
gboolean
gem_plugin_check_file(const char *dir, const char *path, GError **error);

/* Major, minor and structure size first, then kind, name, strings and table. `plugin` may be NULL. ABI. */
gboolean
gem_plugin_check_description(
    const GemPlugin *plugin, const char *path, GemPluginKind kind, const char *name, GError **error);
