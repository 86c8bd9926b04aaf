/*
 * Code that the settings name is loaded into the service: what others than root may write to is not taken.
 */
#pragma once

#include "plugins/gem-plugin.h"

/* Whether the open file or folder belongs to root and is writable by root alone; the error names `path`.
 * Builds with tests take those of the user who runs them, too. */
bool
gem_npu_check_owner(const char *path, int fd, GemPluginError *error);

/* The same of a library, by its absolute path: of the file that the path leads to in the end, and of all
 * folders above it. Others may write to one beyond the first when it is sticky, as /tmp is: they cannot put
 * anything in the place of what is root's there. `ret_file`, which may be `path`: the file that was looked
 * at, without links, and so what is to be opened: a link of the path may lie where somebody else can turn it.
 */
bool
gem_npu_check_library(const char *path, char *ret_file, size_t size, GemPluginError *error);
