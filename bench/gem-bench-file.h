/* Files that results are written into. */
#pragma once

#include <gio/gio.h>

/* The whole of the file at `path`, which is replaced at once, by way of links to it; what is no file, such as
 * a pipe or a terminal, is written to. */
gboolean
gem_bench_file_write(const char *path, const char *text, GError **error);
