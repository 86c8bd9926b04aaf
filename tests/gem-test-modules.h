/*
 * Modules for tests: those of the build tree, and folders of modules made for one test.
 */
#pragma once

#include "daemon/plugin/gem-plugin-loader.h"
#include "tests/gem-test-folder.h"

/* A loader over the modules of the build tree. */
GemPluginLoader *
gem_test_loader_new(void);

/* The module of the build tree; the test fails where it cannot be opened. */
GemPluginModule *
gem_test_module_open(GemPluginKind kind, const char *name);

/* Path of something in the build tree; transfer full. */
char *
gem_test_build_path(const char *first, ...) G_GNUC_NULL_TERMINATED;

/* A new folder for modules, writable by its owner alone. */
char *
gem_test_plugin_dir_new(void);
/* Copies the file `source` to DIR/<folder of kind>/NAME.so, made when needed; transfer full: its path. */
char *
gem_test_plugin_dir_add(const char *dir, GemPluginKind kind, const char *name, const char *source);

/* Whether any mapping of this process is of that file. */
gboolean
gem_test_is_mapped(const char *path);
