/* The system's cache of a file, dropped so that the next read comes from the disk. */
#pragma once

#include <gio/gio.h>

/* Asks the system to forget the pages of a file. `ret_left`: bytes that it has in memory all the same: of a
 * file system in memory, of a file that another process maps, or unknown because the file is not the
 * caller's. Errors: G_FILE_ERROR. */
gboolean
gem_bench_file_cache_drop(const char *path, guint64 *ret_left, GError **error);
