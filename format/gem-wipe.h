/*
 * Memory that tells of a caller's text: what is left of it when it moves, and when it goes, is wiped. GLib's
 * arrays and strings leave a copy behind each time they grow.
 */
#pragma once

#include <glib.h>

/* As g_realloc and g_free, of memory that has `bytes` bytes; `data` may be NULL when there are none. */
gpointer
gem_wipe_realloc(gpointer data, gsize bytes, gsize wanted);
void
gem_wipe_free(gpointer data, gsize bytes);

/* As g_string_append_len; the string is another one when it had to grow. */
void
gem_wipe_append(GString **string, const char *bytes, gsize length);
/* All that it has room for. `string` may be NULL. */
void
gem_wipe_string(GString *string);
typedef GString GemWipedString; /* wiped when it goes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemWipedString, gem_wipe_string)
