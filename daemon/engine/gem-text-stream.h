/*
 * From the bytes of generated tokens to text that can be shown: whole UTF-8 characters, and nothing that may
 * turn out to be the beginning of a stop string.
 */
#pragma once

#include <glib.h>

typedef struct GemTextStream GemTextStream;

/* `stop`: NULL-terminated strings, none of them empty; may be NULL. Copied. */
GemTextStream *
gem_text_stream_new(const char *const *stop);
/* Wipes and frees. */
void
gem_text_stream_free(GemTextStream *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTextStream, gem_text_stream_free)

/* Takes the bytes of one token and appends to `text` what is certain now. TRUE: a stop string is complete;
 * `text` got what stands before it and the stream takes no more. Bytes that are no UTF-8, and NUL, become
 * U+FFFD, one for each byte. */
gboolean
gem_text_stream_push(GemTextStream *self, const char *bytes, gsize length, GString *text);
/* The end: appends what was held back; half a character becomes U+FFFD. */
void
gem_text_stream_finish(GemTextStream *self, GString *text);
