/* Files as one text: what the service learns from. */
#pragma once

#include <gio/gio.h>

/* A memfd, sealed, with the documents of `paths` ("-", or no path at all: standard input), a blank line
 * between two. The descriptor, or -1. Errors: G_IO_ERROR, naming the file. */
int
gem_documents_to_memfd(const char *const *paths, GError **error);
