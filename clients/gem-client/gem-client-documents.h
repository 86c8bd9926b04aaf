/* Files as one text: what the service learns from. */
#pragma once

#include <gio/gio.h>

/* A memfd, sealed, with the documents of `paths` ("-", or no path at all: standard input), a blank line
 * between two; one whose last byte is a carriage return gets the rest of that line end. The descriptor, or
 * -1. Errors, naming the file: G_IO_ERROR; GEM_ERROR_INVALID_TEXT for what the service would not take for
 * text, which sees one text alone. */
int
gem_documents_to_memfd(const char *const *paths, GError **error);
