/* What the process that learns has written. It is not trusted, and may still have the file open. */
#pragma once

#include <gio/gio.h>

/* A learned file is as large as a pathway's; the process that wrote it may have gone mad. */
#define GEM_LEARNED_MOST_OUTPUT_BYTES (256u << 20)

/* Copies it, durably and whole or not at all, to `path`. FAILED, without a path, when it is no plain file,
 * empty, too large, or not of one size while it is read. Any thread. */
gboolean
gem_learned_output_copy(const char *output, const char *path, GError **error);
