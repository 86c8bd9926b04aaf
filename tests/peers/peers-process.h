/* The programs that are compared: each run is a process of its own. */
#pragma once

#include <gio/gio.h>

/* "FOLDER/NAME" of the build tree, which GEM_BUILD_DIR names. Transfer full. */
char *
gem_peers_program(const char *name);

/* Runs argv with `input` (NULL: nothing) on its standard input and returns what it wrote on its standard
 * output. FAILED (of G_IO_ERROR), with its messages, when it does not end with status 0. Transfer full. */
char *
gem_peers_run(const char *const *argv, const char *input, GError **error);
